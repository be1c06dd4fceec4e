"""What there is behind the machine door: routes as data, by sport. No Django, no I/O.

What is not in the table is found by nobody: nothing is open because nobody thought of it. Paths are
compared as they came, before any decoding, and never guessed at.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# First segments that belong to the pages, or to nobody outside; no sport has one of these names.
NO_SPORTS = frozenset({b"client", b"staff", b"static", b"internal", b"healthz", b"readyz"})

_SPORT_PATH = re.compile(rb"/(?!v1/)([0-9A-Za-z_-]{1,32})/v1(?:/.*)?", re.DOTALL)
# An id: characters that no server and no proxy reads in two ways, and neither `.` nor `..`.
_ID = rb"(?!\.{1,2}(?:/|\Z))[0-9A-Za-z._~:-]{1,128}"


@dataclass(frozen=True, slots=True)
class Route:
    """A path, what it may be asked with, and what a key must hold for it.

    template: the path; `{id}` stands for one segment. scopes: any one of them is enough; where
    there are none, any live key will do. sport: None where every key may come. is_stream: opened
    as a WebSocket, and in no other way.
    """

    template: str
    scopes: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("GET", "HEAD")
    sport: str | None = None
    is_stream: bool = False


def _lists(sport: str, *resources: str) -> Iterator[Route]:
    """A list and its entries, each with a scope of its own."""
    for name in resources:
        yield Route(f"/{sport}/v1/{name}", (f"{sport}:{name}:list",), sport=sport)
        yield Route(f"/{sport}/v1/{name}/{{id}}", (f"{sport}:{name}:read",), sport=sport)


_CS2_SETTLEMENTS = ("cs2:markets:settlements",)
_CS2_SEARCHED = tuple(f"cs2:{name}:list" for name in ("matches", "teams", "players", "tournaments"))
_CS2_STREAMED = tuple(f"cs2:stream:{name}" for name in ("matches", "markets", "scoreboard"))

COMMON = (Route("/v1/whoami"),)
BY_SPORT: Mapping[str, tuple[Route, ...]] = {
    "cs2": (
        *_lists("cs2", "matches"),
        Route("/cs2/v1/matches/{id}/timeline", ("cs2:matches:detail",), sport="cs2"),
        Route("/cs2/v1/matches/{id}/settlements", _CS2_SETTLEMENTS, sport="cs2"),
        Route("/cs2/v1/settlements", _CS2_SETTLEMENTS, sport="cs2"),
        *_lists("cs2", "teams", "players", "tournaments", "maps"),
        Route("/cs2/v1/search", _CS2_SEARCHED, sport="cs2"),
        Route("/cs2/v1/recovery", ("cs2:recovery:initiate",), ("POST",), sport="cs2"),
        Route("/cs2/v1/stream", _CS2_STREAMED, ("GET",), sport="cs2", is_stream=True),
        Route("/cs2/v1/stream/{match_id}", _CS2_STREAMED, ("GET",), sport="cs2", is_stream=True),
    ),
}
ROUTES = (*COMMON, *(route for routes in BY_SPORT.values() for route in routes))


def find_route(path: bytes) -> Route | None:
    """The route of a raw path; None where there is none, or it is not in its normal form."""
    if (route := _FIXED.get(path)) is not None:
        return route
    found = _WITH_IDS.fullmatch(path)
    return ROUTES[found.lastindex - 1] if found and found.lastindex else None


def sport_of(path: bytes) -> str | None:
    """The sport that a raw path names, known or not: `/{sport}/v1` and what is below it."""
    found = _SPORT_PATH.fullmatch(path)
    return found[1].decode("ascii") if found and found[1] not in NO_SPORTS else None


def _pattern(route: Route) -> bytes:
    """A group for each route, so that a group's number is that of its route."""
    return b"(" + re.sub(rb"\{[a-z_]+\}", lambda _: _ID, route.template.encode("ascii")) + b")"


_FIXED = {route.template.encode("ascii"): route for route in ROUTES if "{" not in route.template}
_WITH_IDS = re.compile(b"|".join(map(_pattern, ROUTES)))
