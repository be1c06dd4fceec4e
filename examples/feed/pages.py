"""What each route of the feed answers: a value, or None where there is no such thing."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from urllib.parse import parse_qs

from apikeys.edge.tenant import Tenant
from examples.feed.cast import Entry, maps, players, teams, tournaments
from examples.feed.matches import find, listed, moment
from examples.feed.offers import markets, settlements

MOST_HITS = 20  # of each kind


@dataclass(frozen=True, slots=True)
class Call:
    """What the guard let through. segments: of the path, behind `/cs2/v1`. now: Unix time."""

    segments: list[str]
    query: str
    tenant: Tenant
    now: int


def answer(call: Call) -> Entry | None:
    """The body's value. Which routes there are, and for whom, the guard has decided already."""
    match call.segments:
        case ["matches"]:
            return {"data": [match.as_listed() for match in listed(call.now)]}
        case ["matches", match_id, *below]:
            return _of_match(call, match_id, below)
        case ["settlements"]:
            return {"data": settlements(call.now)}
        case ["search"]:
            return {"data": _search(call)}
        case ["recovery"]:
            return {"data": {"state": "initiated", "initiated_at": moment(call.now)}}
        case [kind] if kind in LISTS:
            return {"data": [_shortly(entry) for entry in LISTS[kind]()]}
        case [kind, entry_id] if kind in LISTS:
            found = [entry for entry in LISTS[kind]() if entry["id"] == entry_id]
            return {"data": found[0]} if found else None
    return None


def on_sale(call_tenant: Tenant, offered: Collection[Entry]) -> list[Entry]:
    """Of these markets those that the tenant has switched on."""
    return [each for each in offered if call_tenant.market_enabled(each["type"])]


LISTS: dict[str, Callable[[], list[Entry]]] = {
    "teams": teams,
    "players": players,
    "tournaments": tournaments,
    "maps": maps,
}


def _of_match(call: Call, match_id: str, below: list[str]) -> Entry | None:
    found = find(match_id, call.now)
    if found is None:
        return None
    match below:
        case []:
            whole = found.as_read()
            if "cs2:markets:read" in call.tenant.scopes:
                whole["markets"] = on_sale(call.tenant, markets(found))
            return {"data": whole}
        case ["timeline"]:
            return {"data": found.timeline()}
        case ["settlements"]:
            return {"data": settlements(call.now, found)}
    return None


def _search(call: Call) -> dict[str, list[Entry]]:
    """Hits by kind, of the kinds that the key may list."""
    words = parse_qs(call.query, errors="replace").get("q", [""])[0].casefold()
    kinds: dict[str, list[Entry]] = {
        "matches": [match.as_listed() for match in listed(call.now)],
        "teams": teams(),
        "players": players(),
        "tournaments": tournaments(),
    }
    return {
        kind: [_shortly(entry) for entry in entries if words in _named(entry)][:MOST_HITS]
        for kind, entries in kinds.items()
        if f"cs2:{kind}:list" in call.tenant.scopes
    }


def _shortly(entry: Entry) -> Entry:
    return {name: value for name, value in entry.items() if name != "players"}


def _named(entry: Entry) -> str:
    names = [entry.get("name", ""), *(team["name"] for team in entry.get("teams", []))]
    return " ".join(names).casefold()
