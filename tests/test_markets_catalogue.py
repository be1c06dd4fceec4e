"""The catalogue: loaded whole or not at all, twice as once, and told to whom it concerns."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.core.management.base import CommandError
from django.db import IntegrityError, connection, transaction
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts.models import Action, AuditEvent, Role, Tenant, User
from accounts.origin import COMMAND_LINE
from accounts.services.tenants import set_tenant_active
from markets.models import Catalogue, Group, MarketType
from markets.services.catalogue import change_type
from markets.state import state_of
from markets.tasks import MOST_NAMED, tell_of_new_types
from portal.launch.run import MARKET_TYPES
from tests.at_once import at_once
from tests.conftest import make_member, make_user
from tests.mailbox import empty_queue, queued, work
from tests.markets import add, disabled, load, row, switch, write_catalogue

Rows = list[dict[str, Any]]


def loads(folder: Path, rows: Rows, *options: str, sport: str = "cs2") -> str:
    return load(write_catalogue(folder / "catalogue.json", rows, sport), *options)


def refused(folder: Path, rows: Rows, *options: str, sport: str = "cs2") -> list[str]:
    """The lines that a load which applies nothing says."""
    before = snapshot()
    with pytest.raises(CommandError) as error, transaction.atomic():
        loads(folder, rows, *options, sport=sport)
    assert snapshot() == before
    first, *others = str(error.value).splitlines()
    assert first == "Nothing was applied."
    return others


def snapshot() -> list[tuple[Any, ...]]:
    groups = Group.objects.values_list("sport__code", "code", "name_en", "name_ru", "sort_order")
    types = MarketType.objects.values_list("code", "group__code", "name_en", "retired_at")
    return [*groups.order_by("pk"), *types.order_by("code")]


def test_the_projects_own_catalogue_loads_and_loading_it_again_does_nothing(
    acme: Tenant, tmp_path: Path
) -> None:
    assert load(MARKET_TYPES) == "58 added, 0 changed, 0 taken out.\n"
    version = Catalogue.objects.get().version
    events = AuditEvent.objects.count()
    assert load(MARKET_TYPES) == "0 added, 0 changed, 0 taken out.\n"
    assert AuditEvent.objects.count() == events
    assert Catalogue.objects.get().version == version
    assert Group.objects.count() == 6 and MarketType.objects.count() == 58


def test_a_file_adds_updates_and_retires_with_one_record(acme: Tenant, tmp_path: Path) -> None:
    loads(tmp_path, [row("ace"), row("awp_kill"), row("clutch")])
    renamed = row("ace", "bomb", name_en="Five kills", specifiers=["map"], settlement="live")
    said = loads(tmp_path, [renamed, row("awp_kill"), row("new_one")])
    assert said == "1 added, 1 changed, 1 taken out.\nTaken out: clutch\n"
    ace = MarketType.objects.get(code="ace")
    assert (ace.name_en, ace.group.code, ace.specifiers) == ("Five kills", "bomb", ["map"])
    assert MarketType.objects.get(code="clutch").is_retired
    event = AuditEvent.objects.filter(action=Action.CATALOGUE_LOADED).first()
    assert event is not None and event.target_name == "cs2" and event.agent == "bin/manage"
    assert event.detail == {"added": ["new_one"], "changed": ["ace"], "retired": ["clutch"]}
    assert AuditEvent.objects.filter(action=Action.CATALOGUE_LOADED).count() == 2


def test_a_retired_code_is_never_used_again(acme: Tenant, tina: User, tmp_path: Path) -> None:
    loads(tmp_path, [row("ace"), row("awp_kill")])
    switch(acme, tina, ace="on")
    loads(tmp_path, [row("awp_kill")])
    assert disabled(acme) == (1, ["ace"])
    (said,) = refused(tmp_path, [row("awp_kill"), row("ace")])
    assert said.startswith("line 7: “ace” was taken out of the catalogue on 20")
    assert said.endswith("and is never used again.")


def test_a_code_belongs_to_one_sport(acme: Tenant, tmp_path: Path) -> None:
    loads(tmp_path, [row("ace")])
    assert refused(tmp_path, [row("ace")], sport="dota2") == ["line 6: “ace” belongs to cs2."]
    loads(tmp_path, [row("first_blood")], sport="dota2")
    assert len(state_of(acme).catalogue.live) == 2


def test_a_file_that_would_take_out_most_has_to_be_meant(tmp_path: Path, database: None) -> None:
    loads(tmp_path, [row("ace"), row("awp_kill"), row("clutch")])
    (said,) = refused(tmp_path, [row("ace")])
    assert said.startswith("The file lacks 2 of 3 types") and said.endswith("add --retire-most.")
    assert loads(tmp_path, [row("ace")], "--retire-most").startswith("0 added, 0 changed, 2 taken")


def test_a_catalogue_that_is_there_is_left_alone_if_only_an_empty_one_is_to_be_filled(
    tmp_path: Path, database: None
) -> None:
    """As `bin/run` does at each start: what staff changed stays changed."""
    loads(tmp_path, [row("ace")])
    assert load(MARKET_TYPES, "--if-empty") == ""
    assert [each.code for each in MarketType.objects.all()] == ["ace"]


def test_bad_rows_are_named_by_their_lines_and_nothing_is_applied(
    tmp_path: Path, database: None
) -> None:
    good = [row("ace"), row("clutch")]
    bad: Rows = [
        row("Bad Code"),
        row("ace"),
        row("x", "nowhere"),
        row("y", name_ru="  "),
        row("z", settlement="never"),
        row("u", specifiers=["", 3], outcomes="yes"),
        row("v", sort_order=-1),
        row("w", name_en="x" * 161),
        {"code": None},
        [],  # type: ignore[list-item]
        row("n", name_en="a\x00b"),
    ]
    said = refused(tmp_path, [*good, *bad])
    expected = [
        "line 8: “code” should be lower-case letters, digits and underscores, 64 at most.",
        "line 9: the code “ace” is on line 6 already.",
        "line 10: “group” should be one of bomb, kills.",
        "line 11: “name_ru” should be words, 160 characters at most.",
        "line 12: “settlement” should be one of live, end_of_round.",
        "line 13: “specifiers” should be a list of words of at most 64 characters.",
        "line 13: “outcomes” should be a list of words of at most 64 characters.",
        "line 14: “sort_order” should be a whole number, 0 or more.",
        "line 15: “name_en” should be words, 160 characters at most.",
    ]
    assert said[: len(expected)] == expected
    assert {line.partition(":")[0] for line in said[len(expected) :]} == {
        "line 16",
        "line 17",
        "line 18",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: Expecting '{'."),
        ("[]", "line 1: Expecting '{'."),
        ('{"sport": "cs2",\n"groups": [}', "line 2: Expecting value."),
        ('{"sport": "cs2"} x', "line 1: Extra data."),
        ('{"sport": "cs2"', "line 1: Expecting ','."),
        ("{[]: 1}", "line 1: Expecting a name."),
        ('{"sport": "cs2"}', "“market_types” should be a list with at least one entry."),
        ('{"sport": 7, "market_types": []}', "“sport” should be the sport's code."),
    ],
)
def test_what_is_no_catalogue_is_refused_with_its_line(
    tmp_path: Path, database: None, text: str, said: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(CommandError) as error:
        load(path)
    assert str(error.value).splitlines()[1:] == [said]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_said_so(
    tmp_path: Path, database: None, make: Any, said: str
) -> None:
    make(tmp_path / "file.json")
    with pytest.raises(CommandError, match=said):
        load(tmp_path / "file.json")


def test_a_list_may_be_written_in_any_way_that_json_allows(tmp_path: Path, database: None) -> None:
    path = write_catalogue(tmp_path / "catalogue.json", [row("ace"), row("clutch")])
    file = json.loads(path.read_text())
    path.write_text("\ufeff" + json.dumps(file, indent=4, sort_keys=True))
    assert load(path) == "2 added, 0 changed, 0 taken out.\n"
    assert [each.code for each in MarketType.objects.all()] == ["ace", "clutch"]


def test_the_first_catalogue_of_a_sport_is_no_news(acme: Tenant, tina: User) -> None:
    load(MARKET_TYPES)
    assert state_of(acme).new_types == [] and queued_tasks() == []


def test_new_types_are_told_by_mail_to_owners_and_traders_of_active_tenants(
    acme: Tenant, globex: Tenant, tina: User, alice: User, victor: User, tmp_path: Path
) -> None:
    """Of each tenant, in its own words: whether they are on there."""
    fallen = Tenant.objects.create(slug="fallen", name="Fallen")
    make_member(fallen, "Fred", Role.OWNER)
    set_tenant_active(tenant_id=fallen.pk, is_active=False, actor=None, origin=COMMAND_LINE)
    gone = make_member(globex, "Gone", Role.OWNER)
    gone.is_active = False
    gone.save()
    mallory = make_member(globex, "Mallory", Role.TRADER)
    load(MARKET_TYPES)
    add(tmp_path, *[f"new_{number:02}" for number in range(25)])
    (codes,) = queued_tasks()
    assert len(codes) == 25
    tell_of_new_types(codes)
    mails = queued("new_market_types")
    assert {mail.user_id for mail in mails} == {str(each.pk) for each in (tina, alice, mallory)}
    told = mails[0].context
    assert (told["count"], len(told["types"]), told["more"]) == (25, MOST_NAMED, 5)
    assert told["are_on"] is True


@pytest.mark.service
def test_the_worker_takes_the_news_and_writes_the_mails(
    committed_db: None, acme: Tenant, tina: User, tmp_path: Path
) -> None:
    """From the load to the reader's mail, in the reader's language."""
    empty_queue()
    User.objects.filter(pk=tina.pk).update(language="ru")
    load(MARKET_TYPES)
    add(tmp_path, "plain_new")
    work()
    (message,) = mail.outbox
    assert message.to == ["tina@example.com"] and "Этот plain_new (plain_new)" in message.body
    empty_queue()


def test_types_that_were_taken_out_before_the_mail_was_written_are_not_told(
    acme: Tenant, tina: User, tmp_path: Path
) -> None:
    loads(tmp_path, [row("ace")])
    loads(tmp_path, [row("ace"), row("new_one")])
    loads(tmp_path, [row("ace")])
    (codes,) = queued_tasks()
    tell_of_new_types(codes)
    assert queued("new_market_types") == []


def queued_tasks() -> list[list[str]]:
    """The codes of each task that waits to tell of new types."""
    jobs = ProcrastinateJob.objects.filter(task_name="markets.tasks.tell_of_new_types")
    return [job.args["codes"] for job in jobs]


def test_every_change_moves_the_catalogues_version_and_no_version_comes_twice(
    tmp_path: Path, database: None
) -> None:
    """Also by hand; and what a ROLLBACK took back is not given to something else."""
    loads(tmp_path, [row("ace")])
    versions = [Catalogue.objects.get().version]
    for change in (
        "UPDATE markets_markettype SET name_en = 'By hand'",
        "UPDATE markets_group SET name_en = 'By hand'",
        "UPDATE markets_sport SET name_en = 'By hand'",
    ):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(change)
            rolled_back = Catalogue.objects.get().version
            transaction.set_rollback(True)
        with connection.cursor() as cursor:
            cursor.execute(change)
        versions += [rolled_back, Catalogue.objects.get().version]
    assert sorted(set(versions)) == versions


@pytest.mark.service
def test_staff_and_a_file_at_the_same_moment_do_not_wait_for_each_other_in_vain(
    committed_db: None, tmp_path: Path
) -> None:
    """The load stands at the group that it renames, while staff are at a type that it renames."""
    loads(tmp_path, [row("ace"), row("clutch")])
    ace, sam = MarketType.objects.get(code="ace"), make_user("Sam", is_staff=True)
    file = write_catalogue(tmp_path / "other.json", [row("ace", name_en="By file"), row("clutch")])
    file.write_text(file.read_text().replace("Kills", "Frags"))
    by: dict[str, Any] = {"type_id": ace.pk, "actor": sam, "origin": COMMAND_LINE}
    acts: list[Callable[[], object]] = [
        lambda: load(file),
        lambda: change_type(columns={"name_ru": "Эйс"}, **by),
    ]
    at_once(acts, gate="markets_group")
    ace.refresh_from_db()
    assert ace.name_en == "By file" and ace.name_ru in {"Эйс", row("ace")["name_ru"]}
    assert Group.objects.get(code="kills").name_en == "Frags"


def test_there_is_one_catalogue(database: None, tmp_path: Path) -> None:
    loads(tmp_path, [row("ace")])
    with pytest.raises(IntegrityError), transaction.atomic():
        Catalogue.objects.create(id=2)
    Catalogue.objects.all().delete()
    loads(tmp_path, [row("ace", name_en="Five")])
    assert Catalogue.objects.get().version > 1
