"""bin/manage: what each command prints, what it refuses in words, and what a start refuses."""

import io
import re
from typing import Any

import pytest
from django.conf import LazySettings
from django.core import mail
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test import Client

from accounts.models import AuditEvent, Invitation, Tenant, User
from portal.checks import refuse_unsafe_settings, settings_are_safe
from tests.conftest import make_user
from tests.pages import text
from tests.production import SAFE, in_production

GOOD = {"new_password": "seven herons over the estuary"}
GOOD["confirm_password"] = GOOD["new_password"]
LINK = re.compile(r"http://localhost:8000(/client/invite/[\w-]{43})")
OLGA = {"email": "olga@example.com", "username": "olga"}


def said(name: str, /, **options: Any) -> str:
    """What the command writes on standard output."""
    output = io.StringIO()
    call_command(name, stdout=output, **options)
    return output.getvalue()


def refusal(name: str, /, **options: Any) -> str:
    """The sentence with which it ends; `manage.py` makes exit code 1 of it."""
    with pytest.raises(CommandError) as caught:
        said(name, **options)
    assert caught.value.returncode == 1
    return str(caught.value)


def test_create_tenant_makes_one_with_its_contract(database: None) -> None:
    assert said("create_tenant", slug="acme", name="Acme Sportsbook") == "acme\n"
    tenant = Tenant.objects.get()
    assert (tenant.name, tenant.contract.limit_rpm) == ("Acme Sportsbook", 600)  # type: ignore[attr-defined]
    event = AuditEvent.objects.get(action="tenant.created")
    assert (event.actor_name, event.agent) == ("", "bin/manage")


@pytest.mark.parametrize(
    ("slug", "sentence"),
    [
        ("acme", "Tenant with this Slug already exists."),
        ("Acme Sports", "Use lower-case letters and digits, single hyphens between them"),
        ("x\n", "Use lower-case letters and digits"),
        ("", "This field cannot be blank."),
    ],
)
def test_create_tenant_says_what_is_wrong_with_a_slug(
    acme: Tenant, slug: str, sentence: str
) -> None:
    assert sentence in refusal("create_tenant", slug=slug, name="Another")
    assert Tenant.objects.count() == 1


def test_invite_prints_the_link_alone_and_mails_it(
    acme: Tenant, django_capture_on_commit_callbacks: Any
) -> None:
    """So that link=$(bin/manage invite …) works."""
    with django_capture_on_commit_callbacks(execute=True):
        output = said("invite", tenant="acme", role="owner", name="Olga", **OLGA)
    found = LINK.fullmatch(output.strip())
    assert found and output.count("\n") == 1
    assert mail.outbox[0].to == ["olga@example.com"] and found[0] in mail.outbox[0].body
    assert Client().post(found[1], GOOD).headers["Location"] == "/client/"
    assert User.objects.get().memberships.get().role == "owner"


def test_invite_staff_prints_a_link_to_the_panel(database: None) -> None:
    found = LINK.fullmatch(said("invite", staff=True, **OLGA).strip())
    assert found
    assert Client().post(found[1], GOOD).headers["Location"] == "/staff/"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"tenant": "nowhere", "role": "owner"}, "There is no tenant “nowhere”."),
        ({"tenant": "acme"}, "--role is needed: one of owner, developer, trader, viewer."),
        ({"staff": True, "role": "owner"}, "Staff have no role in a tenant: leave --role out."),
        ({"tenant": "acme", "role": "owner", "email": "olga"}, "email: Enter a valid email"),
        ({"tenant": "acme", "role": "owner", "username": "a@b"}, "username: A username holds no"),
        ({"tenant": "acme", "role": "owner", "username": "known"}, "This username is taken."),
        ({"staff": True, "email": "KNOWN@example.com"}, "This address already has an account."),
    ],
)
def test_invite_says_what_stands_in_the_way(
    acme: Tenant, given: dict[str, Any], sentence: str
) -> None:
    make_user("known")
    assert sentence in refusal("invite", **{**OLGA, **given})
    assert not Invitation.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--tenant", "acme", "--staff", "--email", "a@example.com", "--username", "a"],
        ["--tenant", "acme", "--role", "emperor", "--email", "a@example.com", "--username", "a"],
        ["--tenant", "acme", "--role", "owner", "--username", "a"],
    ],
)
def test_invite_says_which_options_it_takes(database: None, arguments: list[str]) -> None:
    with pytest.raises(CommandError, match=r"required|not allowed|invalid choice"):
        call_command("invite", *arguments)


def test_demo_prints_two_links_that_work_however_often_it_runs(
    settings: LazySettings, database: None
) -> None:
    settings.DEVELOPMENT = True
    first = said("demo")
    again = said("demo")
    assert first != again
    lines = dict(line.split() for line in again.splitlines())
    assert list(lines) == ["operator", "staff"]
    assert (Tenant.objects.get().slug, Invitation.objects.count()) == ("acme", 2)
    landed = {
        who: Client().post(LINK.fullmatch(link)[1], GOOD).headers["Location"]  # type: ignore[index]
        for who, link in lines.items()
    }
    assert landed == {"operator": "/client/", "staff": "/staff/"}
    assert mail.outbox == []
    next_ones = dict(line.split() for line in said("demo").splitlines())
    for link in next_ones.values():
        assert "Set password" in text(Client().get(LINK.fullmatch(link)[1]))  # type: ignore[index]
    assert set(User.objects.values_list("username", flat=True)) == {"operator", "staff"}


def test_demo_is_for_development_alone(settings: LazySettings, database: None) -> None:
    settings.DEVELOPMENT = False
    assert "PORTAL_ENV=development" in refusal("demo")
    assert not Tenant.objects.exists()


def test_migrations_are_in_step_with_the_models(database: None) -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_the_applications_role_may_write_rows_and_change_no_tables(
    database: None, settings: LazySettings
) -> None:
    """What `migrate` granted; audit events may be written and read."""
    if settings.DATABASES["default"]["USER"] == settings.DATABASES["owner"]["USER"]:
        pytest.skip("there is one database role, and it owns the tables")
    asked = "SELECT has_table_privilege(current_user, %s, %s)"
    may: dict[str, set[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = [name for (name,) in cursor.fetchall()]
        for table in tables:
            for right in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES"):
                cursor.execute(asked, [table, right])
                if cursor.fetchone()[0]:
                    may.setdefault(table, set()).add(right)
        cursor.execute("SELECT has_schema_privilege(current_user, 'public', 'CREATE')")
        assert cursor.fetchone() == (False,)
    assert may.pop("accounts_auditevent") == {"SELECT", "INSERT"}
    assert all(rights == {"SELECT", "INSERT", "UPDATE", "DELETE"} for rights in may.values())
    assert {"accounts_user", "apikeys_apikey"} <= may.keys()


UNSAFE: dict[str, tuple[str, str, Any]] = {
    "no field key": ("portal.E001", "FIELD_KEYS", []),
    "a field key that is none": ("portal.E001", "FIELD_KEYS", ["too short"]),
    "one good field key of two": ("portal.E001", "FIELD_KEYS", [SAFE["FIELD_KEYS"], "x"]),
    "a short secret key": ("portal.E002", "SECRET_KEY", "k2J9-bX7wq_Zr5Tn0Yc8Lm4Vd6Hs1Fg3Pa"),
    "a secret key of one letter": ("portal.E002", "SECRET_KEY", "x" * 64),
    "plain http": ("portal.E003", "PORTAL_BASE_URL", "http://portal.example"),
    "no host": ("portal.E003", "PORTAL_BASE_URL", "https://"),
    "no mail server": ("portal.E004", "EMAIL_URL", ""),
    "a Redis that is none": ("portal.E012", "REDIS_URL", "localhost:6379"),
    "a broker without an account": (
        "portal.E009",
        "RABBITMQ_MANAGEMENT_URL",
        "https://mq.example:15671",
    ),
    "a broker at a port that is none": (
        "portal.E009",
        "RABBITMQ_MANAGEMENT_URL",
        "https://portal:p%40ss@mq.example:management",
    ),
    "every host": ("portal.E006", "ALLOWED_HOSTS", ["portal.example", "*"]),
    "debugging": ("portal.E007", "DEBUG", True),
}


@pytest.fixture
def production(settings: LazySettings) -> LazySettings:
    """Settings of a production that is safe."""
    settings.DEVELOPMENT = False
    settings.DEBUG = False
    settings.ALLOWED_HOSTS = ["portal.example"]
    settings.FIELD_KEYS = [SAFE["FIELD_KEYS"]]
    for name in ("SECRET_KEY", "PORTAL_BASE_URL", "EMAIL_URL", "DATABASE_OWNER_URL"):
        setattr(settings, name, SAFE[name])
    return settings


def test_safe_settings_are_started_with(production: LazySettings) -> None:
    assert settings_are_safe() == []
    refuse_unsafe_settings()


@pytest.mark.parametrize("what", UNSAFE)
def test_an_unsafe_setting_is_refused_by_name(production: LazySettings, what: str) -> None:
    code, setting, value = UNSAFE[what]
    setattr(production, setting, value)
    assert [message.id for message in settings_are_safe()] == [code]
    with pytest.raises(Exception, match=rf"{code}: .*{setting}"):
        refuse_unsafe_settings()


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("RATELIMIT_ENABLE", "0", "portal.E005"),
        ("PORTAL_CLOCK_OFFSET", "3600", "portal.E008"),
        ("EXAMPLE_FEED", "1", "portal.E011"),
    ],
)
def test_what_is_for_trials_is_refused_in_production(
    production: LazySettings, monkeypatch: pytest.MonkeyPatch, name: str, value: str, code: str
) -> None:
    monkeypatch.setenv(name, value)
    assert [message.id for message in settings_are_safe()] == [code]


def test_one_database_role_is_warned_of(production: LazySettings) -> None:
    production.DATABASE_OWNER_URL = production.DATABASE_URL
    assert [message.id for message in settings_are_safe()] == ["portal.W001"]
    refuse_unsafe_settings()


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"GRANIAN_WORKERS": "2"}, "portal.W002"),
        ({"EDGE_OUTAGE_GRACE_SECONDS": "60", "EDGE_DIRECTORY_KEYS": "0"}, "portal.W003"),
    ],
)
def test_what_contradicts_itself_at_the_machine_door_is_warned_of(
    production: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    code: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert [message.id for message in settings_are_safe()] == [code]
    production.REDIS_URL = "redis://127.0.0.1"
    expected = [] if code == "portal.W002" else [code]
    assert [message.id for message in settings_are_safe()] == expected
    refuse_unsafe_settings()


def test_djangos_own_checks_find_nothing_under_production_settings(database: None) -> None:
    done = in_production("manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (
            {"PORTAL_BASE_URL": "http://portal.example", "EMAIL_URL": None},
            "portal.E003.*portal.E004",
        ),
        ({"SECRET_KEY": None}, "SECRET_KEY is not set"),
    ],
)
def test_the_server_does_not_start_with_unsafe_settings(
    database: None, changed: dict[str, str | None], named: str
) -> None:
    """No server runs Django's checks by itself: the module asks as it is imported."""
    done = in_production("-c", "import portal.wsgi", **changed)
    assert done.returncode == 1
    assert re.search(named, done.stderr)


def test_a_command_ends_with_a_sentence_and_exit_code_1(database: None) -> None:
    """Not with a traceback; standard output stays empty for whoever reads it."""
    arguments = ["--tenant", "nowhere", "--role", "owner"]
    arguments += ["--email", "olga@example.com", "--username", "olga"]
    done = in_production("manage.py", "invite", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip() == "CommandError: There is no tenant “nowhere”."
