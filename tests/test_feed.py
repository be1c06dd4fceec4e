"""The sample feed by REST, behind the guard: what each route answers, to whom, in which format."""

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from django.core.management import call_command

from accounts.models import Role, Tenant
from accounts.origin import COMMAND_LINE
from apikeys.catalogue import contract_scopes
from apikeys.edge import reads
from apikeys.edge.guard import Guard
from apikeys.routes import BY_SPORT
from apikeys.services import change_contract
from examples.feed.feed import Feed
from examples.feed.matches import MATCH_SECONDS, ROUND_SECONDS, find, listed
from examples.feed.offers import market_types, markets, moved
from examples.feed.stream import frames
from markets.effective import Choice
from markets.services.choices import apply_choices, set_default
from portal.launch.run import MARKET_TYPES
from tests.conftest import MakeKey, make_member
from tests.door import Reply, opened, run

pytestmark = pytest.mark.usefixtures("django_db_setup")

NOON = 1_772_452_800  # 2 March 2026, 12:00 UTC: three matches are being played, one begins
ROUND_TEN = NOON + 9 * ROUND_SECONDS


@pytest.fixture
def acme(committed_db: None, acme: Tenant) -> Tenant:
    """Acme, committed, with every scope there is and with the catalogue."""
    call_command("load_market_types", str(MARKET_TYPES), verbosity=0)
    terms = {"scopes": list(contract_scopes())}
    change_contract(tenant=acme, actor=None, origin=COMMAND_LINE, terms=terms)
    acme.refresh_from_db()
    return acme


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "PATIENCE_SECONDS", 20)


def ask_for(secret: str, *paths: str, at: float = ROUND_TEN, **given: Any) -> list[Reply]:
    """Each path below `/cs2/v1/` once, of one guarded feed whose clock stands still at `at`."""

    async def work() -> list[Reply]:
        async with opened(Guard(Feed(clock=lambda: at))) as ask:
            return [await ask(secret, path=f"/cs2/v1/{path}", **given) for path in paths]

    return run(work)


def data(reply: Reply) -> Any:
    """What a good answer holds."""
    assert reply.status == 200, reply
    return json.loads(reply.body)["data"]


def first_live(secret: str) -> str:
    """The id of a match that is being played."""
    (reply,) = ask_for(secret, "matches")
    return str(next(match["id"] for match in data(reply) if match["state"] == "live"))


def test_every_route_of_the_table_answers_something(acme: Tenant, make_key: MakeKey) -> None:
    """An entry is found by the id that its list gave."""
    _, secret = make_key(acme)
    ids = {"matches": first_live(secret)}
    for kind in ("teams", "players", "tournaments", "maps"):
        (reply,) = ask_for(secret, kind)
        ids[kind] = data(reply)[0]["id"]
    for route in BY_SPORT["cs2"]:
        if not route.is_stream:
            kind = route.template.split("/")[3]
            path = route.template.removeprefix("/cs2/v1/").format(id=ids.get(kind))
            (reply,) = ask_for(secret, path, method=route.methods[0])
            assert data(reply), path


def test_nothing_has_happened_in_a_match_that_has_just_begun(
    acme: Tenant, make_key: MakeKey
) -> None:
    """An empty list is an answer like others; the first round is on it when it is over."""
    _, secret = make_key(acme)
    path = f"matches/{first_live(secret)}/timeline"
    for seconds, rounds in ((0, 0), (ROUND_SECONDS - 1, 0), (ROUND_SECONDS, 1)):
        (reply,) = ask_for(secret, path, at=NOON + seconds)
        assert len(data(reply)) == rounds


def test_an_answer_is_for_one_tenant_alone_and_says_what_is_left(
    acme: Tenant, make_key: MakeKey
) -> None:
    """The guard adds what every answer of the door carries."""
    _, secret = make_key(acme)
    (reply,) = ask_for(secret, "matches")
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["vary"] == "Accept"
    assert len(reply.headers["x-request-id"]) == 32
    assert reply.headers["ratelimit-policy"] == '"default";q=600;w=60'
    assert reply.headers["ratelimit"].startswith('"default";r=599;')


def test_it_is_the_same_in_xml(acme: Tenant, make_key: MakeKey) -> None:
    """Element for member, entries as `<item>`."""
    _, secret = make_key(acme)
    in_json, in_xml = (
        ask_for(secret, "teams", headers=[("accept", accept)])[0]
        for accept in ("application/json", "application/xml")
    )
    root = ET.fromstring(in_xml.body)  # noqa: S314
    assert root.tag == "response"
    names = [item.findtext("name") for item in root.iterfind("data/item")]
    assert names == [team["name"] for team in data(in_json)]


def test_what_is_not_there_is_404_in_the_doors_own_words(acme: Tenant, make_key: MakeKey) -> None:
    """Step 10: after the verdict, counted, with the id of the request."""
    _, secret = make_key(acme)
    for reply in ask_for(secret, "matches/match-1", "teams/none", "matches/match-1/timeline"):
        told = json.loads(reply.body)
        assert (reply.status, told["code"]) == (404, "not_found")
        assert told["request_id"] == reply.headers["x-request-id"]
        assert "ratelimit" in reply.headers


def test_head_has_the_headers_alone(acme: Tenant, make_key: MakeKey) -> None:
    """With the length of the body that GET has."""
    _, secret = make_key(acme)
    (reply,) = ask_for(secret, "maps", method="HEAD")
    (whole,) = ask_for(secret, "maps")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["content-length"] == str(len(whole.body))


def test_markets_are_inside_a_match_only_for_keys_that_may_read_them(
    acme: Tenant, make_key: MakeKey
) -> None:
    """Absent, not null."""
    _, secret = make_key(acme)
    _, narrow = make_key(acme, scopes=["cs2:matches:list", "cs2:matches:read"])
    path = f"matches/{first_live(secret)}"
    (whole,), (bare,) = ask_for(secret, path), ask_for(narrow, path)
    assert len(data(whole)["markets"]) == len(market_types())
    assert "markets" not in data(bare)
    assert {**data(whole), "markets": 0}.keys() == {*data(bare), "markets"}


def test_a_market_that_is_switched_off_is_gone_and_its_settlements_stay(
    acme: Tenant, make_key: MakeKey
) -> None:
    """What was delivered must be settled."""
    _, secret = make_key(acme)
    trader = make_member(acme, "Tina", Role.TRADER)
    given: dict[str, Any] = {"tenant": acme, "actor": trader, "origin": COMMAND_LINE}
    apply_choices(revision=0, choices={"awp_opening": Choice.OFF}, **given)
    match_id = first_live(secret)
    paths = [f"matches/{match_id}", f"matches/{match_id}/settlements", "settlements"]
    match, *settled = map(data, ask_for(secret, *paths))
    codes = {each["type"] for each in match["markets"]}
    assert len(codes) == len(market_types()) - 1 and "awp_opening" not in codes
    assert all("awp_opening" in {each["type"] for each in some} for some in settled if some)
    assert settled[1]
    set_default(revision=1, default_on=False, keep_overrides=False, **given)
    (reply,) = ask_for(secret, f"matches/{match_id}")
    assert data(reply)["markets"] == []


def test_search_finds_by_name_in_what_the_key_may_list(acme: Tenant, make_key: MakeKey) -> None:
    """Kinds that it may not list are absent."""
    _, secret = make_key(acme)
    _, narrow = make_key(acme, scopes=["cs2:teams:list"])
    (wide,), (few,) = (ask_for(key, "search", query="q=harbour") for key in (secret, narrow))
    assert [team["name"] for team in data(wide)["teams"]] == ["Harbour Foxes"]
    assert data(wide).keys() == {"matches", "teams", "players", "tournaments"}
    assert data(few) == {"teams": data(wide)["teams"]}


def test_the_feed_is_the_same_in_every_process_and_goes_on_with_time() -> None:
    """Nothing is stored: it is a function of the clock."""
    then = [match.as_read() for match in listed(NOON)]
    assert then == [match.as_read() for match in listed(NOON)]
    assert [match["state"] for match in then].count("live") == 3
    later = {match.id: match for match in listed(NOON + MATCH_SECONDS)}
    for match in then:
        if match["state"] == "live":
            assert later[match["id"]].state == "finished"
            assert all(sum(played) == 20 for played in later[match["id"]].scores())


def test_a_frame_says_what_the_match_says_at_that_second() -> None:
    """REST and stream are one feed: the last frame of each market is its state."""
    match = next(match for match in listed(NOON) if match.state == "live")
    told: dict[str, Any] = {}
    for second in range(NOON + 11, NOON + 21):
        for frame in frames(second):
            if frame.kind == "market.updated" and frame.data["match_id"] == match.id:
                told[frame.data["id"]] = frame.data
    now = find(match.id, NOON + 20)
    assert now and moved(now)
    assert sorted(told) == sorted(each["id"] for each in markets(now))
    assert {each["id"]: each for each in markets(now)} == told
