"""The cast, and a real Postgres for each worker, cloned from one that was migrated once.

Acme is a sportsbook: Alice owns it, Dave develops, Tina trades, Victor looks. Globex is another
one, and Mallory owns it. Sam is staff. bin/test starts the server and names it in DATABASE_URL.
"""

import gc
import io
import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections, transaction
from django.test import Client
from psycopg import sql

from accounts.models import Authenticator, Membership, Role, Tenant, User
from accounts.origin import COMMAND_LINE
from accounts.sessions import SessionStore
from apikeys.edge import reads
from apikeys.models import ApiKey
from apikeys.services import create_key, open_tenant
from portal.launch.run import MARKET_TYPES
from portal.lib import clock

PASSWORD = "a long walk on a cold day"
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)[:12]
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
TEMPLATE = f"portal_test_{RUN}_template"
DATABASE = f"portal_test_{RUN}_{WORKER}"


def pytest_configure(config: pytest.Config) -> None:
    """Cheap hashes and plain static files: what they do has tests of its own."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.STORAGES["staticfiles"] = {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
    }
    settings.DATABASES["default"]["OPTIONS"].pop("pool", None)
    # No timed tests: how long an example takes says more about the machine than about the code.
    hypothesis.settings.register_profile("portal", deadline=None)
    hypothesis.settings.load_profile("portal")
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # WhiteNoise warns where it is not


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: Any) -> Iterator[None]:
    """This worker's database; the application's role is the one that the tests run as."""
    admin_url = settings.DATABASE_OWNER_URL
    with django_db_blocker.unblock():
        with psycopg.connect(admin_url, autocommit=True) as admin:
            # One worker migrates, the others wait and clone.
            admin.execute("SELECT pg_advisory_lock(4711)")
            if not _exists(admin, TEMPLATE):
                _create(admin, TEMPLATE)
                _use(TEMPLATE)
                call_command("migrate", verbosity=0, interactive=False)
                connections.close_all()
            _create(admin, DATABASE, TEMPLATE)
        _use(DATABASE)
        yield
        connections.close_all()
        # What a test gave up while it connected: Postgres would wait a minute for its password.
        gc.collect()
        with psycopg.connect(admin_url, autocommit=True) as admin:
            _drop(admin, DATABASE)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The controller drops the template when the workers are done."""
    if "PYTEST_XDIST_WORKER" in os.environ or not settings.DATABASE_OWNER_URL:
        return
    with psycopg.connect(settings.DATABASE_OWNER_URL, autocommit=True) as admin:
        names = admin.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE 'portal_test_%_template'"
        ).fetchall()
        for (name,) in names:
            _drop(admin, name)


def _exists(admin: psycopg.Connection[Any], name: str) -> bool:
    found = admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
    return found is not None


def _create(admin: psycopg.Connection[Any], name: str, template: str = "template1") -> None:
    admin.execute(
        sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template)
        )
    )


def _drop(admin: psycopg.Connection[Any], name: str) -> None:
    """Whoever is in it. Each role may end its own sessions, and FORCE those of the owner alone."""
    with psycopg.connect(settings.DATABASE_URL, autocommit=True) as application:
        application.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = %s AND usename = current_user",
            [name],
        )
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} (FORCE)").format(sql.Identifier(name)))


def _use(name: str) -> None:
    for alias in ("default", "owner"):
        connections[alias].close()
        settings.DATABASES[alias]["NAME"] = name
        connections[alias].settings_dict["NAME"] = name
    os.environ["DATABASE_URL"] = with_database(settings.DATABASE_URL, name)


def with_database(url: str, name: str) -> str:
    """The same address with another database's name."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@pytest.fixture
def committed_db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """For threads and processes: what is committed is committed, and emptied afterwards."""
    with django_db_blocker.unblock():
        yield
        connections.close_all()
        _empty_tables()
        connections.close_all()


@pytest.fixture
def door_beside(committed_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine door has connections of its own: what a test puts there is committed.

    And a machine that is busy with other tests is no outage.
    """
    monkeypatch.setattr(reads, "PATIENCE_SECONDS", 20)


def _empty_tables() -> None:
    """DELETE and not TRUNCATE: the tables are small, and new files cost more than their rows."""
    with transaction.atomic(using="owner"), connections["owner"].cursor() as cursor:
        cursor.execute(
            "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' "
            "AND tablename ~ '^(accounts|markets|apikeys|procrastinate)_' "
            "AND tablename <> 'procrastinate_version'"
        )
        tables = [name for (name,) in cursor.fetchall()]
        cursor.execute("ALTER TABLE accounts_auditevent DISABLE TRIGGER USER")
        # Foreign keys are checked at the end of the transaction: any order will do.
        cursor.execute(";".join(f"DELETE FROM {table}" for table in tables))
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE accounts_auditevent ENABLE TRIGGER USER")


@pytest.fixture(autouse=True)
def _real_time() -> Iterator[None]:
    yield
    clock.reset()


@pytest.fixture
def database(request: pytest.FixtureRequest) -> None:
    """A transaction that is rolled back, unless the test asked for commits."""
    if "committed_db" not in request.fixturenames:
        request.getfixturevalue("db")


def make_user(username: str, **columns: Any) -> User:
    """A user with the cast's password."""
    user = User(username=username, email=f"{username.lower()}@example.com", **columns)
    user.set_password(PASSWORD)
    user.save()
    return user


def make_member(tenant: Tenant, username: str, role: Role) -> User:
    """A user with a role in a tenant."""
    user = make_user(username)
    Membership.objects.create(tenant=tenant, user=user, role=role)
    return user


@pytest.fixture
def acme(database: None) -> Tenant:
    """A tenant with the contract that every tenant starts with."""
    return open_tenant(slug="acme", name="Acme Sportsbook", actor=None, origin=COMMAND_LINE)


@pytest.fixture
def globex(database: None) -> Tenant:
    """Another tenant."""
    return open_tenant(slug="globex", name="Globex", actor=None, origin=COMMAND_LINE)


@pytest.fixture
def alice(acme: Tenant) -> User:
    """Owns Acme."""
    return make_member(acme, "Alice", Role.OWNER)


@pytest.fixture
def dave(acme: Tenant) -> User:
    """Develops at Acme."""
    return make_member(acme, "Dave", Role.DEVELOPER)


@pytest.fixture
def tina(acme: Tenant) -> User:
    """Trades at Acme."""
    return make_member(acme, "Tina", Role.TRADER)


@pytest.fixture
def victor(acme: Tenant) -> User:
    """Looks on at Acme."""
    return make_member(acme, "Victor", Role.VIEWER)


@pytest.fixture
def mallory(globex: Tenant) -> User:
    """Owns Globex, and should see nothing of Acme."""
    return make_member(globex, "Mallory", Role.OWNER)


@pytest.fixture
def sam(database: None) -> User:
    """Staff."""
    return make_user("Sam", is_staff=True)


def signed_in(user: User, *, has_second_factor: bool = False) -> Client:
    """A browser of somebody who has signed in: the session that the login page makes."""
    client = Client()
    now = clock.now().isoformat()
    session = SessionStore()
    session.update(
        {
            "_auth_user_id": str(user.pk),
            "_auth_user_backend": settings.AUTHENTICATION_BACKENDS[0],
            "_auth_user_hash": user.get_session_auth_hash(),
            "signed_in_at": now,
            "proved_at": now,
            "has_second_factor": has_second_factor,
        }
    )
    session._session_key = session._get_new_session_key()
    session.save(must_create=True)
    client.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
    return client


def make_authenticator(user: User) -> Authenticator:
    """A confirmed authenticator for the user."""
    device = Authenticator(user=user, confirmed=True, name="TOTP")
    device.set_new_secret()
    device.save()
    return device


@pytest.fixture
def catalogue(database: None) -> None:
    """The project's own catalogue: 58 market types of cs2."""
    call_command("load_market_types", MARKET_TYPES, stdout=io.StringIO())


MakeKey = Callable[..., tuple[ApiKey, str]]


@pytest.fixture
def make_key(database: None) -> MakeKey:
    """Makes a key of a tenant by the service: (key, secret)."""

    def make(tenant: Tenant, **given: Any) -> tuple[ApiKey, str]:
        owner = Membership.objects.filter(tenant=tenant, role=Role.OWNER).first()
        actor = owner.user if owner else make_member(tenant, f"{tenant.slug}-owner", Role.OWNER)
        issued = create_key(
            tenant=tenant,
            actor=actor,
            origin=COMMAND_LINE,
            nonce=uuid.uuid4(),
            **{
                "label": "Pricing",
                "allowlist": [],
                "scopes": tenant.contract.scopes,  # type: ignore[attr-defined]
                **given,
            },
        )
        return issued.key, issued.secret

    return make
