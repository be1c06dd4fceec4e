"""Which paths there are behind the machine door, and what a key must hold for each."""

import re

import pytest

from apikeys.catalogue import contract_scopes
from apikeys.routes import ROUTES
from apikeys.verdict import judge
from tests.test_verdict import STREAM, call, outcome, record


@pytest.mark.parametrize(
    "path",
    [
        b"/v1",
        b"/v1/",
        b"/v1/whoami/",
        b"/v1/whoam",
        b"/V1/whoami",
        b"//v1/whoami",
        b"/v1//whoami",
        b"/v1/./whoami",
        b"/v1/x/../whoami",
        b"/%761/whoami",
        b"/v1/who%61mi",
        b"/v1%2Fwhoami",
        b"/v1/whoami;x",
        b"/v1/whoami%00",
        b"/v1/cs2/matches",
        b"/cs2/v1/whoami",
        b"/cs2/v1",
        b"/cs2/v1/",
        b"/cs2/v1/matches/",
        b"/cs2/v1/matches/1/",
        b"/cs2/v1/matches//timeline",
        b"/cs2/v1/matches/./timeline",
        b"/cs2/v1/matches/..",
        b"/cs2/v1/matches/1%2Ftimeline",
        b"/cs2/v1/matches/%31",
        b"/cs2/v1/matches/{id}",
        b"/cs2/v1/matches/a b",
        b"/cs2/v1/matches/a;b",
        b"/cs2/v1/matches/a\\b",
        b"/cs2/v1/matches/a\n",
        b"/cs2/v1/matches/\xc3\xa9",
        b"/cs2/v1/matches/" + b"1" * 129,
        b"/cs2/v1/matches/1/2/3/4/5/6/7/8/9",
        b"/cs2/v1/Matches",
        b"/cs2//v1/matches",
        b"/%63s2/v1/matches",
        b"/cs2/v2/matches",
        b"/cs2/v1x/matches",
        b"/client/v1/matches",
        b"/internal/v1/matches",
        b"*",
        b"",
    ],
)
def test_what_is_not_exactly_a_route_is_not_found(path: bytes) -> None:
    """Paths are compared raw, never guessed at; the names of our own pages are no sports."""
    everything = record(scopes=tuple(contract_scopes()))
    assert outcome(judge(call(path=path), everything)) == (404, "not_found")


@pytest.mark.parametrize(
    "path",
    [b"/dota2/v1/matches", b"/dota2/v1/nothing", b"/dota2/v1/", b"/dota2/v1", b"/CS2/v1/matches"],
)
def test_a_sport_that_the_key_does_not_have_is_refused_before_its_routes_are_looked_for(
    path: bytes,
) -> None:
    """Whether anybody plays it or not."""
    verdict = judge(call(path=path, method="PUT"), record())
    assert outcome(verdict) == (403, "sport_not_allowed")
    assert f"'{path.split(b'/')[1].decode()}'" in verdict.detail
    assert outcome(judge(call(path=b"/cs2/v1/x"), record(sports=()))) == (403, "sport_not_allowed")


# What the provider documents: route, method, and the scopes of which one is needed.
DOCUMENTED = [
    ("/cs2/v1/matches", "GET", ["cs2:matches:list"]),
    ("/cs2/v1/matches/4711", "GET", ["cs2:matches:read"]),
    ("/cs2/v1/matches/4711/timeline", "GET", ["cs2:matches:detail"]),
    ("/cs2/v1/matches/4711/settlements", "GET", ["cs2:markets:settlements"]),
    ("/cs2/v1/settlements", "GET", ["cs2:markets:settlements"]),
    ("/cs2/v1/teams", "GET", ["cs2:teams:list"]),
    ("/cs2/v1/teams/4711", "GET", ["cs2:teams:read"]),
    ("/cs2/v1/players", "GET", ["cs2:players:list"]),
    ("/cs2/v1/players/4711", "GET", ["cs2:players:read"]),
    ("/cs2/v1/tournaments", "GET", ["cs2:tournaments:list"]),
    ("/cs2/v1/tournaments/4711", "GET", ["cs2:tournaments:read"]),
    ("/cs2/v1/maps", "GET", ["cs2:maps:list"]),
    ("/cs2/v1/maps/4711", "GET", ["cs2:maps:read"]),
    (
        "/cs2/v1/search",
        "GET",
        ["cs2:matches:list", "cs2:teams:list", "cs2:players:list", "cs2:tournaments:list"],
    ),
    ("/cs2/v1/recovery", "POST", ["cs2:recovery:initiate"]),
    (
        "/cs2/v1/stream",
        "WebSocket",
        ["cs2:stream:matches", "cs2:stream:markets", "cs2:stream:scoreboard"],
    ),
    (
        "/cs2/v1/stream/4711",
        "WebSocket",
        ["cs2:stream:matches", "cs2:stream:markets", "cs2:stream:scoreboard"],
    ),
]


@pytest.mark.parametrize(("path", "method", "scopes"), DOCUMENTED)
def test_a_route_opens_to_its_scope_and_to_no_other(
    path: str, method: str, scopes: list[str]
) -> None:
    """Any one of those it asks for; all others together do not help."""
    asked = call(
        path=path.encode(),
        method="GET" if method == "WebSocket" else method,
        wants_stream=method == "WebSocket",
    )
    for scope in scopes:
        assert judge(asked, record(scopes=(scope,))).is_allowed
    others = tuple(scope for scope in contract_scopes() if scope not in scopes)
    verdict = judge(asked, record(scopes=others))
    assert outcome(verdict) == (403, "scope_not_granted")
    assert all(f"'{scope}'" in verdict.detail for scope in scopes)


def test_the_table_holds_what_is_documented_and_nothing_else() -> None:
    """A route that is not in it is found by nobody."""
    documented = {re.sub("4711", "{id}", path): scopes for path, _, scopes in DOCUMENTED}
    held = {route.template.replace("match_id", "id"): [*route.scopes] for route in ROUTES}
    assert held == {"/v1/whoami": []} | documented
    assert {scope for route in ROUTES for scope in route.scopes} <= contract_scopes().keys()
    streamed = {scope for scope in contract_scopes() if scope.startswith("cs2:stream:")}
    assert streamed == set(documented["/cs2/v1/stream"])


def test_the_detail_of_a_missing_scope_is_the_documented_sentence() -> None:
    """Word for word."""
    assert judge(call(path=b"/cs2/v1/settlements"), record()).detail == (
        "Required scope 'cs2:markets:settlements' is not granted to this API key. "
        "Contact your account manager to extend the key's scopes."
    )
    several = judge(call(path=STREAM, wants_stream=True), record()).detail
    assert "'cs2:stream:matches', 'cs2:stream:markets' or 'cs2:stream:scoreboard'" in several


@pytest.mark.parametrize("word", ["timeline", "settlements", "matches", "v1", "stream", "..."])
def test_an_id_may_be_a_word_that_routes_use(word: str) -> None:
    """It is the place that counts."""
    asked = call(path=f"/cs2/v1/matches/{word}/timeline".encode())
    assert judge(asked, record(scopes=("cs2:matches:detail",))).is_allowed


@pytest.mark.parametrize(
    ("path", "wants_stream", "word"),
    [(STREAM, False, "a WebSocket at"), (b"/cs2/v1/matches", True, "no WebSocket at")],
)
def test_a_stream_opens_as_a_websocket_and_nothing_else_does(
    path: bytes, wants_stream: bool, word: str
) -> None:
    """Even to whoever has all scopes."""
    everything = record(scopes=tuple(contract_scopes()))
    verdict = judge(call(path=path, wants_stream=wants_stream), everything)
    assert outcome(verdict) == (404, "not_found")
    assert word in verdict.detail
