"""WebSockets of a guarded feed over a real server: opened, refused, filtered, closed in time."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from websockets.exceptions import InvalidStatus

from accounts.models import Role, Tenant, User
from accounts.origin import COMMAND_LINE
from accounts.services.tenants import set_tenant_active
from apikeys.models import ApiKey, Contract, KeyUse
from apikeys.services import change_contract, edit_key, revoke_key, rotate_key
from markets.effective import Choice
from markets.services.choices import apply_choices
from portal.launch.run import MARKET_TYPES
from tests.conftest import MakeKey, make_member
from tests.guarded import FRAME_SECONDS, Server, serving

pytestmark = [pytest.mark.service, pytest.mark.usefixtures("django_db_setup")]

LATE_SECONDS = 1.0  # after its COMMIT a change has taken effect
STREAM = "/cs2/v1/stream"


@pytest.fixture
def acme(committed_db: None, acme: Tenant) -> Tenant:
    """Acme, committed, with the catalogue."""
    call_command("load_market_types", str(MARKET_TYPES), verbosity=0)
    return acme


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[Server]:
    """One for all of them: what a test leaves behind is announced to it."""
    with serving() as server:
        yield server


def acts(acme: Tenant, key: ApiKey, owner: User) -> dict[str, Callable[[], Any]]:
    """What kills a key, and what its calls would be refused with from then on."""
    given: dict[str, Any] = {"tenant": acme, "actor": owner, "origin": COMMAND_LINE}
    known = {"key_id": key.pk, "version": key.version}
    terms = {"scopes": ["cs2:matches:list"]}

    def by_hand(statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

    return {
        "key_revoked by revoking": lambda: revoke_key(**given, **known),
        "key_revoked by rotating": lambda: rotate_key(**given, **known),
        "ip_not_allowed": lambda: edit_key(
            **given, **known, label=key.label, allowlist=["192.0.2.0/24"]
        ),
        "tenant_suspended": lambda: set_tenant_active(
            tenant_id=acme.pk, is_active=False, actor=owner, origin=COMMAND_LINE
        ),
        "scope_not_granted": lambda: change_contract(**given, terms=terms),
        "sport_not_allowed": lambda: change_contract(**given, terms={"sports": []}),
        "key_revoked by hand": lambda: by_hand(
            "UPDATE apikeys_apikeysecret SET retired_at = now()"
        ),
        "key_invalid": lambda: by_hand("DELETE FROM apikeys_apikeysecret"),
    }


ACTS = [
    "key_revoked by revoking",
    "key_revoked by rotating",
    "ip_not_allowed",
    "tenant_suspended",
    "scope_not_granted",
    "sport_not_allowed",
    "key_revoked by hand",
    "key_invalid",
]


@pytest.mark.parametrize("act", ACTS)
def test_it_is_closed_within_the_second_when_its_key_dies(
    acme: Tenant, make_key: MakeKey, server: Server, act: str
) -> None:
    """With 4403, and the code that its calls are refused with."""
    key, secret = make_key(acme)
    owner = acme.memberships.get(role=Role.OWNER).user  # type: ignore[attr-defined]
    change = acts(acme, key, owner)[act]
    with server.stream(secret) as watcher:
        watcher.until("market.updated")
        change()
        assert watcher.closed(LATE_SECONDS) == (4403, act.partition(" ")[0])


def test_a_process_that_remembers_nothing_asks_often_enough(
    acme: Tenant, make_key: MakeKey
) -> None:
    """EDGE_DIRECTORY_KEYS=0: there are no announcements to wait for."""
    key, secret = make_key(acme)
    owner = acme.memberships.get(role=Role.OWNER).user  # type: ignore[attr-defined]
    with serving(EDGE_DIRECTORY_KEYS="0") as server, server.stream(secret) as watcher:
        assert watcher.during(LATE_SECONDS)
        acts(acme, key, owner)["key_revoked by rotating"]()
        assert watcher.closed(LATE_SECONDS) == (4403, "key_revoked")


def test_those_whom_a_change_does_not_concern_stay(
    acme: Tenant, globex: Tenant, make_key: MakeKey, server: Server
) -> None:
    """Another key of the tenant, another tenant."""
    (key, secret), (_, other), (_, strangers) = make_key(acme), make_key(acme), make_key(globex)
    owner = acme.memberships.get(role=Role.OWNER).user  # type: ignore[attr-defined]
    with (
        server.stream(secret) as dies,
        server.stream(other) as stays,
        server.stream(strangers) as strange,
    ):
        for watcher in (dies, stays, strange):
            assert watcher.frame()["type"] == "snapshot"
        acts(acme, key, owner)["key_revoked by revoking"]()
        assert dies.closed(LATE_SECONDS)[0] == 4403
        for watcher in (stays, strange):
            assert watcher.during(LATE_SECONDS)


def test_a_snapshot_comes_first_and_then_frames_are_counted(
    acme: Tenant, make_key: MakeKey, server: Server
) -> None:
    """`alive` every ten seconds of the feed's; the number has no gaps."""
    _, secret = make_key(acme)
    with server.stream(secret) as watcher:
        found = watcher.until("alive") + watcher.until("alive")
    assert found[0]["type"] == "snapshot"
    assert found[0]["data"].keys() == {"matches", "markets"}
    assert [frame["meta"]["seq"] for frame in found] == list(range(1, len(found) + 1))
    assert {"market.updated", "alive"} <= {frame["type"] for frame in found}
    assert not any(frame["type"] == "scoreboard.frame" for frame in found)


def test_a_stream_of_one_match_tells_of_no_other(
    acme: Tenant, make_key: MakeKey, server: Server
) -> None:
    """And of one that is not there it is refused, by the feed."""
    _, secret = make_key(acme)
    _, matches = server.get("/cs2/v1/matches", secret)
    match_id = next(each["id"] for each in matches["data"] if each["state"] == "live")
    with server.stream(secret, f"/{match_id}") as watcher:
        found = watcher.until("alive") + watcher.until("alive")
    told = [frame["data"]["match_id"] for frame in found if "match_id" in frame["data"]]
    assert set(told) == {match_id}
    assert [each["id"] for each in found[0]["data"]["matches"]] == [match_id]
    refused = server.refused(f"{STREAM}/match-1?api_key={secret}")
    assert (refused.status, refused.code) == (404, "not_found")


def test_what_is_outside_of_the_keys_scopes_is_left_out_silently(
    acme: Tenant, make_key: MakeKey, server: Server
) -> None:
    """Rounds and matches for one, markets and settlements for the other."""
    _, of_matches = make_key(acme, scopes=["cs2:stream:matches"])
    _, of_markets = make_key(acme, scopes=["cs2:stream:markets"])
    with server.stream(of_matches) as first, server.stream(of_markets) as second:
        told = first.until("match.updated")
        sold = second.until("bet_settlement.created")
    kinds = [{frame["type"] for frame in frames} - {"alive", "snapshot"} for frames in (told, sold)]
    assert kinds == [{"round.ended", "match.updated"}, {"market.updated", "bet_settlement.created"}]
    assert (told[0]["data"].keys(), sold[0]["data"].keys()) == ({"matches"}, {"markets"})


def test_a_market_that_is_switched_off_is_in_no_frame_within_the_second(
    acme: Tenant, make_key: MakeKey, server: Server
) -> None:
    """Its settlements go on; switched on again, so does it."""
    _, secret = make_key(acme)
    trader = make_member(acme, "Tina", Role.TRADER)

    def switch(revision: int, choice: Choice) -> None:
        apply_choices(
            tenant=acme,
            revision=revision,
            choices={"awp_opening": choice},
            actor=trader,
            origin=COMMAND_LINE,
        )

    def codes(frames: list[Any], kind: str) -> set[str]:
        return {frame["data"]["type"] for frame in frames if frame["type"] == kind}

    with server.stream(secret) as watcher:
        assert "awp_opening" in codes(watcher.during(1), "market.updated")
        switch(0, Choice.OFF)
        watcher.during(LATE_SECONDS)
        frames = watcher.during(1) + watcher.until("bet_settlement.created") + watcher.during(1)
        assert "awp_opening" not in codes(frames, "market.updated")
        assert "awp_kill" in codes(frames, "market.updated")
        assert "awp_opening" in codes(frames, "bet_settlement.created")
        switch(1, Choice.ON)
        watcher.during(LATE_SECONDS)
        assert "awp_opening" in codes(watcher.during(1), "market.updated")


def test_scopes_that_a_contract_gains_or_loses_count_for_the_next_frames(
    acme: Tenant, make_key: MakeKey, server: Server
) -> None:
    """Without opening it again."""
    _, secret = make_key(acme)
    terms = {"scopes": ["cs2:stream:matches", "cs2:stream:scoreboard"]}
    with server.stream(secret) as watcher:
        watcher.until("market.updated")
        change_contract(tenant=acme, actor=None, origin=COMMAND_LINE, terms=terms)
        watcher.during(LATE_SECONDS)
        kinds = {frame["type"] for frame in watcher.during(1)}
    assert "scoreboard.frame" in kinds and "market.updated" not in kinds


def test_a_client_that_does_not_read_is_cut_off_too(acme: Tenant, make_key: MakeKey) -> None:
    """Its place is free again, while nobody has read what lay in the buffers."""
    (key, secret), (_, other) = make_key(acme), make_key(acme)
    owner = acme.memberships.get(role=Role.OWNER).user  # type: ignore[attr-defined]
    Contract.objects.update(max_streams=1)
    with serving("tests.guarded:flood") as server, server.stream(secret, max_queue=1):
        assert server.refused(f"{STREAM}?api_key={other}").code == "too_many_streams"
        acts(acme, key, owner)["key_revoked by revoking"]()
        ends_at = time.monotonic() + FRAME_SECONDS
        opened = False
        while not opened and time.monotonic() < ends_at:
            with suppress(InvalidStatus), server.stream(other, max_queue=1):
                opened = True
        assert opened


def test_a_server_that_ends_does_not_wait_for_its_streams(acme: Tenant, make_key: MakeKey) -> None:
    """Granian cuts them off without a word, and then has the guard write what it has noted."""
    key, secret = make_key(acme)
    with serving() as leaving, leaving.stream(secret) as watcher:
        watcher.frame()
        leaving.process.send_signal(signal.SIGTERM)
        watcher.closed()
        assert leaving.process.wait(10) == 0
    assert KeyUse.objects.filter(key=key).exists()


def test_a_lost_listener_closes_nobody_who_may_stay(
    acme: Tenant, make_key: MakeKey, server: Server
) -> None:
    """It is back soon; what was revoked meanwhile is closed, and nothing else."""
    (key, secret), (_, other) = make_key(acme), make_key(acme)
    owner = acme.memberships.get(role=Role.OWNER).user  # type: ignore[attr-defined]
    with server.stream(secret) as dies, server.stream(other) as stays:
        dies.frame()
        stays.frame()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'machine door listener' AND datname = current_database()"
            )
        acts(acme, key, owner)["key_revoked by revoking"]()
        assert dies.closed(LATE_SECONDS) == (4403, "key_revoked")
        assert stays.during(2 * LATE_SECONDS)
