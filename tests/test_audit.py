"""The audit trail: one row an act, in the act's own transaction, and never changed afterwards.

Security promise 42, and what the database itself holds: versions, one live secret, who is invited.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from django.db import connection, connections, models, transaction
from django.db.utils import DatabaseError, ProgrammingError

from accounts.models import Action, AuditEvent, Invitation, Membership, Role, Tenant
from apikeys.models import ApiKey, ApiKeySecret, Contract
from portal.lib import clock
from tests import acts, acts_amqp
from tests.conftest import MakeKey, make_user
from tests.pages import mid_step, rows_as_text
from tests.rabbit import rabbit, rabbit_server
from tests.stage import ADDRESS, AGENT, Stage

__all__ = ["rabbit", "rabbit_server"]  # pytest finds the fixtures here
ACTS = acts.ACTS | acts_amqp.ACTS
CHANGES = [
    "UPDATE accounts_auditevent SET actor_name = 'nobody'",
    "DELETE FROM accounts_auditevent",
    "TRUNCATE accounts_auditevent",
    "TRUNCATE accounts_auditevent CASCADE",
    "INSERT INTO accounts_auditevent SELECT * FROM accounts_auditevent "
    "ON CONFLICT (id) DO UPDATE SET actor_name = 'nobody'",
]
WAYS_AROUND = [
    "ALTER TABLE accounts_auditevent DISABLE TRIGGER USER",
    "DROP TRIGGER refuse_change ON accounts_auditevent",
    "SET session_replication_role = replica",
    "ALTER TABLE accounts_auditevent OWNER TO CURRENT_USER",
    "GRANT UPDATE ON accounts_auditevent TO CURRENT_USER",
    "DROP TABLE accounts_auditevent",
]


@pytest.fixture
def broker_if_needed(request: pytest.FixtureRequest) -> None:
    """Started before the test's transaction begins, which would not wait for it."""
    given = getattr(request.node, "callspec", None)
    act = ACTS.get(given.params.get("name", "")) if given else None
    if act and act.needs_broker:
        request.getfixturevalue("rabbit")


@pytest.fixture
def stage(broker_if_needed: None, acme: Tenant, make_key: MakeKey) -> Stage:
    """The people and things that acts are about."""
    mid_step()
    key, _ = make_key(acme)
    return Stage(acme, key)


@pytest.mark.parametrize("statement", CHANGES + WAYS_AROUND)
def test_the_application_has_no_right_to_change_what_is_written(
    acme: Tenant, statement: str
) -> None:
    """Its role may insert and read, and cannot give itself more."""
    before = AuditEvent.objects.count()
    if statement.startswith("GRANT"):  # which only warns, and grants nothing
        statement = f"{statement}; {CHANGES[0]}"
    with pytest.raises(DatabaseError, match=r"permission denied|must be owner"):
        execute(statement)
    assert AuditEvent.objects.exclude(actor_name="nobody").count() == before > 0


def execute(statement: str) -> None:
    """As the application's role, in a savepoint."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize("statement", CHANGES)
def test_the_owner_of_the_tables_is_refused_too(
    committed_db: None, acme: Tenant, statement: str
) -> None:
    """By triggers: where one role does both, they are all there is."""
    before = AuditEvent.objects.count()
    with (
        connections["owner"].cursor() as cursor,
        pytest.raises(ProgrammingError, match="append-only"),
    ):
        cursor.execute(statement)
    assert AuditEvent.objects.exclude(actor_name="nobody").count() == before > 0


def test_every_action_is_an_act_here() -> None:
    """A new one comes with its act. A catalogue is loaded by a command alone, which has its own."""
    by_people = {action for act in ACTS.values() for action, *_ in act.written}
    assert by_people == set(Action) - {Action.CATALOGUE_LOADED}


@pytest.mark.parametrize("name", ACTS)
def test_an_act_writes_its_row(stage: Stage, name: str) -> None:
    """Once: who, where, what, to what, from where, with what, and when."""
    send = ACTS[name].ready(stage)
    last = AuditEvent.objects.latest("pk").pk
    began = clock.now()
    answer = send()
    assert answer.status_code < 400
    slugs = dict(Tenant.objects.values_list("pk", "slug"))
    events = AuditEvent.objects.filter(pk__gt=last).order_by("pk")
    found = [
        (event.action, event.actor_name, slugs.get(event.tenant_id, ""), event.target_name)
        for event in events
    ]
    assert found == ACTS[name].written
    for event in events:
        assert (event.address, event.agent) == (ADDRESS, AGENT)
        assert began <= event.at <= clock.now()
        assert bool(event.actor_id) == bool(event.actor_name)
        assert bool(event.target_id) == bool(event.target_name)


@contextmanager
def failing_after(number: int) -> Iterator[list[str]]:
    """The n-th write of a block is done, and then everything fails. Undone at the block's end."""
    writes: list[str] = []

    def watch(run: Any, sql: str, *rest: Any) -> Any:
        result = run(sql, *rest)
        if sql.startswith(("INSERT", "UPDATE", "DELETE")) and "accounts_counter" not in sql:
            writes.append(sql)
            if len(writes) == number:
                raise RuntimeError("the process fails here")
        return result

    with transaction.atomic(), connection.execute_wrapper(watch):
        yield writes
        transaction.set_rollback(True)


def contents(tables: str) -> str:
    """All rows of the tables whose names match."""
    names = [name for name in connection.introspection.table_names() if re.match(tables, name)]
    return "\n".join(rows_as_text([name]) for name in names)


@pytest.mark.parametrize("name", [name for name, act in ACTS.items() if act.changes])
def test_an_act_and_its_row_are_written_together_or_not_at_all(stage: Stage, name: str) -> None:
    """Whichever write is the last before a failure: no act without its row, and no row alone."""
    act = ACTS[name]
    send = act.ready(stage)
    before, last = contents(act.touches), AuditEvent.objects.latest("pk").pk
    for number in count(1):
        with failing_after(number) as writes:
            send()
            transaction.set_rollback(False)  # the connection is sound: what failed was the process
            is_recorded = AuditEvent.objects.filter(pk__gt=last, action=act.written[0][0]).exists()
            is_done = contents(act.touches) != before
        assert is_recorded == is_done, writes
        if len(writes) < number:
            break
    assert is_done
    assert number > 2


def rows(acme: Tenant, make_key: MakeKey) -> list[models.Model]:
    """One row of each kind that has a version."""
    key, _ = make_key(acme)
    secret = ApiKeySecret.objects.get(key=key)
    return [acme, acme.contract, key, secret]  # type: ignore[attr-defined]


def test_versions_are_set_by_the_database(acme: Tenant, make_key: MakeKey) -> None:
    """Each update moves one on, whatever the application writes."""
    for row in rows(acme, make_key):
        table = row._meta.db_table
        row.refresh_from_db()
        assert row.version == 1  # type: ignore[attr-defined]
        for expected in (2, 3):
            row.version = 99  # type: ignore[attr-defined]
            row.save()
            row.refresh_from_db()
            assert row.version == expected  # type: ignore[attr-defined]
        execute(f"UPDATE {table} SET version = 1")
        row.refresh_from_db()
        assert row.version == 4  # type: ignore[attr-defined]


def test_a_new_row_begins_at_version_1(acme: Tenant) -> None:
    """Also one that says otherwise."""
    tenant = Tenant.objects.create(slug="late", name="Late", version=7)
    key = ApiKey.objects.create(tenant=tenant, label="K", scopes=[], sports=[], version=7)
    made = [
        tenant,
        Contract.objects.create(tenant=tenant, scopes=[], sports=[], version=7),
        key,
        ApiKeySecret.objects.create(key=key, sha256=b"1", first_4="a", last_4="b", version=7),
    ]
    for row in made:
        row.refresh_from_db()
        assert row.version == 1  # type: ignore[attr-defined]


def test_a_key_has_at_most_one_live_secret(acme: Tenant, make_key: MakeKey) -> None:
    """Two are refused by the database; a retired one makes room."""
    key, _ = make_key(acme)
    refused(ApiKeySecret, key=key, sha256=b"1" * 32, first_4="aaaa", last_4="bbbb")
    key.secrets.update(retired_at=clock.now())
    key.secrets.create(sha256=b"1" * 32, first_4="aaaa", last_4="bbbb")
    other, _ = make_key(acme)
    retired = {"key": other, "retired_at": clock.now(), "first_4": "a", "last_4": "b"}
    refused(ApiKeySecret, **retired, sha256=b"1" * 32)
    assert key.secrets.filter(retired_at=None).count() == 1


@pytest.mark.parametrize(
    ("is_staff", "has_tenant", "role"),
    [
        (True, True, ""),
        (True, True, "owner"),
        (True, False, "owner"),
        (False, False, ""),
        (False, False, "owner"),
        (False, True, ""),
        (False, True, "admin"),
    ],
)
def test_an_invitation_is_for_a_role_in_a_tenant_or_for_staff(
    acme: Tenant, *, is_staff: bool, has_tenant: bool, role: str
) -> None:
    """Nothing in between."""
    now = clock.now()
    refused(
        Invitation,
        is_staff=is_staff,
        tenant=acme if has_tenant else None,
        role=role,
        email="o@example.com",
        username="o",
        token_hash=b"1",
        sent_at=now,
        expires_at=now,
    )


def test_the_database_refuses_what_must_never_be(acme: Tenant) -> None:
    """Names that differ in case alone, roles that are none, slugs and networks that are none."""
    user = make_user("Alice")
    Membership.objects.create(tenant=acme, user=user, role=Role.OWNER)
    refused(type(user), username="aLICE", email="other@example.com")
    refused(type(user), username="Other", email="ALICE@example.com")
    refused(type(user), username="a@b", email="other@example.com")
    refused(Membership, tenant=acme, user=user, role=Role.VIEWER)
    refused(Membership, tenant=acme, user=make_user("Bob"), role="admin")
    refused(Tenant, slug="acme", name="Again")
    for slug in ("", "-a", "a-", "a--b", "A", "a_b", "a\n", "a" * 41):
        refused(Tenant, slug=slug, name="Badly named")
    refused(Contract, tenant=Tenant.objects.create(slug="x"), scopes=[], sports=[], limit_rpm=0)
    for network in ("10.0.0.1/8", "rubbish", "10.0.0.0/33"):
        refused(ApiKey, tenant=acme, label="K", scopes=[], sports=[], allowlist=[network])


def refused(model: type[models.Model], **columns: Any) -> None:
    """The database itself does not take the row."""
    with pytest.raises(DatabaseError), transaction.atomic():
        model.objects.create(**columns)  # type: ignore[attr-defined]
