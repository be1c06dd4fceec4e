"""What can be bet on in a round, at which odds, and how it came out. All made up.

The types are the catalogue's own, so that each of the portal's switches has something to act on.
"""

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from examples.feed.cast import Entry, chance, pick
from examples.feed.matches import ROUND_SECONDS, Match, listed, moment, round_of

CATALOGUE = Path(__file__).parents[2] / "markets" / "data" / "market_types.json"
MOVES_SECONDS = 10  # between two moves of the same odds
MARGIN = 1.06
MOST_SETTLEMENTS = 200  # in one answer, the newest first
_SPECIFIED = {"total": 4.5, "handicap": -1.5, "seconds": 30, "killnr": 3, "kills": 2, "enemies": 2}


@lru_cache(maxsize=1)
def market_types() -> list[Entry]:
    """The catalogue's, in its order."""
    types: list[Entry] = json.loads(CATALOGUE.read_text("utf-8"))["market_types"]
    return types


def markets(match: Match) -> list[Entry]:
    """Those of the round that is being played; of a match that is not live there are none."""
    if match.state != "live":
        return []
    return [_market(match, index) for index in range(len(market_types()))]


def moved(match: Match) -> list[Entry]:
    """Those whose odds have just moved; as a round begins, all."""
    is_new_round = (match.now - match.began) % ROUND_SECONDS == 0
    return [
        _market(match, index)
        for index in range(len(market_types()))
        if is_new_round or (match.now + index) % MOVES_SECONDS == 0
    ]


def settlements(now: int, match: Match | None = None) -> list[Entry]:
    """The newest, of one match or of all; they follow no switch, since bets must be settled."""
    found: list[Entry] = []
    for index, one in _rounds_backwards([match] if match else list(listed(now))):
        found += settled(one, index)
        if len(found) >= MOST_SETTLEMENTS:
            break
    return found[:MOST_SETTLEMENTS]


def settled(match: Match, index: int) -> list[Entry]:
    """How all markets of a round came out, counted from 0 over all maps."""
    number, of_map = round_of(index)
    at = moment(match.began + (index + 1) * ROUND_SECONDS)
    return [
        {
            "id": f"{match.id}:{number}:{of_map}:{kind['code']}:settled",
            "market_id": f"{match.id}:{number}:{of_map}:{kind['code']}",
            "match_id": match.id,
            "map": number,
            "round": of_map,
            "type": kind["code"],
            "outcome": _result(match, index, kind),
            "settled_at": at,
        }
        for kind in market_types()
    ]


def _rounds_backwards(matches: list[Match]) -> Iterator[tuple[int, Match]]:
    """Every round that is over, the one that ended last first."""
    rounds = [(index, match) for match in matches for index in range(match.rounds_played)]
    ended = sorted(rounds, key=lambda each: -(each[1].began + each[0] * ROUND_SECONDS))
    yield from ended


def _market(match: Match, index: int) -> Entry:
    kind = market_types()[index]
    number, of_map = match.round
    move = (match.now + index) // MOVES_SECONDS
    weights = [
        0.2 + chance("weight", match.number, match.rounds_played, kind["code"], each, move)
        for each in _outcomes(match, kind)
    ]
    is_suspended = chance("suspended", match.number, kind["code"], move) < 0.05
    return {
        "id": f"{match.id}:{number}:{of_map}:{kind['code']}",
        "match_id": match.id,
        "type": kind["code"],
        "textEN": kind["name_en"],
        "textRU": kind["name_ru"],
        "specifiers": _specifiers(match, kind),
        "state": "suspended" if is_suspended else "active",
        "outcomes": [
            {"id": each, "odds": round(max(1.01, sum(weights) / weight / MARGIN), 2)}
            for each, weight in zip(_outcomes(match, kind), weights, strict=True)
        ],
    }


def _specifiers(match: Match, kind: Entry) -> Entry:
    number, of_map = match.round
    known = {
        "map": number,
        "round": of_map,
        "team": match.teams[0]["id"],
        "player": match.teams[0]["players"][0],
        "target": match.teams[1]["players"][0],
        **_SPECIFIED,
    }
    return {name: known[name] for name in kind["specifiers"]}


def _outcomes(match: Match, kind: Entry) -> list[str]:
    """The catalogue's, and in place of `player` everybody who plays."""
    if kind["outcomes"] != ["player"]:
        return list(kind["outcomes"])
    return [player for team in match.teams for player in team["players"]]


def _result(match: Match, index: int, kind: Entry) -> str:
    outcomes = _outcomes(match, kind)
    return outcomes[pick(len(outcomes), "result", match.number, index, kind["code"])]
