"""What the feed answers, as JSON Schema: of each route of the table, and of a stream's frames.

Both formats are described at once: `xml` says how an array is written, and means nothing in JSON.
A feed may add members; clients should pass over those that they do not know.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """What a route is for. data: the schema of the member `data`. query: name → description."""

    summary: str
    data: Schema
    query: Mapping[str, str] | None = None


def ref(name: str) -> Schema:
    """The schema of that name among SCHEMAS."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema, **more: Any) -> Schema:
    """In XML: the member's element with an `<item>` for each."""
    return {
        "type": "array",
        "items": {**items, "xml": {"name": "item"}},
        "xml": {"wrapped": True},
        **more,
    }


def structure(
    members: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None
) -> Schema:
    """An object with these members."""
    optional = optional or {}
    return {
        "type": "object",
        "properties": {**members, **optional},
        "required": list(members),
    }


def _text(description: str = "", **more: Any) -> Schema:
    return {"type": "string", **({"description": description} if description else {}), **more}


def _number(least: float = 0, **more: Any) -> Schema:
    return {"type": "integer", "minimum": least, **more}


_ID = _text()
_MOMENT = _text(format="date-time")
_LATER = {"type": ["string", "null"], "format": "date-time"}
_NAMED = structure({"id": _ID, "name": _text()})
_PLACE = {"map": _number(1), "round": _number(1)}
_SCORE = array(_number(), minItems=2, maxItems=2, description="First team, second team.")

_MATCH = {
    "id": _ID,
    "state": _text(enum=["upcoming", "live", "finished"]),
    "scheduled_at": _MOMENT,
    "tournament": ref("Named"),
    "teams": array(ref("Named"), minItems=2, maxItems=2),
    "score": {**_SCORE, "description": "Maps won."},
}
_MARKET = {
    "id": _ID,
    "match_id": _ID,
    "type": _text("A code of the market catalogue."),
    "textEN": _text(),
    "textRU": _text(),
    "specifiers": {"type": "object", "additionalProperties": {"type": ["string", "number"]}},
    "state": _text(enum=["active", "suspended"]),
    "outcomes": array(structure({"id": _ID, "odds": {"type": "number", "exclusiveMinimum": 1}})),
}

SCHEMAS: Mapping[str, Schema] = {
    "Named": _NAMED,
    "Team": structure({"id": _ID, "name": _text(), "players": array(_ID)}),
    "Player": structure({"id": _ID, "name": _text(), "team": ref("Named")}),
    "Match": structure(_MATCH),
    "MatchUpdated": structure({"match_id": _ID, **_MATCH}),
    "MatchRead": structure(
        {
            **_MATCH,
            "started_at": _LATER,
            "finished_at": _LATER,
            "maps": array(structure({"id": _ID, "number": _number(1), "score": _SCORE})),
        },
        {"markets": array(ref("Market"), description="There with cs2:markets:read alone.")},
    ),
    "Market": structure(_MARKET),
    "Round": structure(
        {
            "match_id": _ID,
            **_PLACE,
            "winner": _text("A team's id."),
            "first_kill": _text("A player's id."),
            "ended_at": _MOMENT,
        }
    ),
    "Settlement": structure(
        {
            "id": _ID,
            "market_id": _ID,
            "match_id": _ID,
            **_PLACE,
            "type": _text("A code of the market catalogue."),
            "outcome": _text(),
            "settled_at": _MOMENT,
        }
    ),
    "Scoreboard": structure(
        {
            "match_id": _ID,
            **_PLACE,
            "players": array(structure({"id": _ID, "health": _number(), "money": _number()})),
        }
    ),
    "Snapshot": structure(
        {},
        {
            "matches": array(ref("Match")),
            "markets": array(ref("Market")),
            "scoreboards": array(ref("Scoreboard")),
        },
    ),
    "WhoAmI": {
        **structure(
            {
                "tenant_id": _text(format="uuid"),
                "name": _text(),
                "scopes": array(_text()),
                "sport_allowlist": array(_text()),
                "rate_limit_rpm": _number(description="Calls in any 60 seconds."),
            }
        ),
        "additionalProperties": False,
    },
}

# A frame's type → its data.
FRAMES: Mapping[str, Schema] = {
    "snapshot": ref("Snapshot"),
    "match.updated": ref("MatchUpdated"),
    "round.ended": ref("Round"),
    "market.updated": ref("Market"),
    "bet_settlement.created": ref("Settlement"),
    "scoreboard.frame": ref("Scoreboard"),
    "alive": structure({}),
}

# By a route's template, for a sport's routes without the sport.
TOLD: Mapping[str, Told] = {
    "/v1/whoami": Told("What the key may do", ref("WhoAmI")),
    "/matches": Told("Matches, the latest to begin first", array(ref("Match"))),
    "/matches/{id}": Told("One match", ref("MatchRead")),
    "/matches/{id}/timeline": Told("A match round by round", array(ref("Round"))),
    "/matches/{id}/settlements": Told("Settlements of one match", array(ref("Settlement"))),
    "/settlements": Told("The newest settlements", array(ref("Settlement"))),
    "/teams": Told("Teams", array(ref("Named"))),
    "/teams/{id}": Told("One team", ref("Team")),
    "/players": Told("Players", array(ref("Player"))),
    "/players/{id}": Told("One player", ref("Player")),
    "/tournaments": Told("Tournaments", array(ref("Named"))),
    "/tournaments/{id}": Told("One tournament", ref("Named")),
    "/maps": Told("Maps", array(ref("Named"))),
    "/maps/{id}": Told("One map", ref("Named")),
    "/search": Told(
        "Hits by kind, of the kinds that the key may list",
        structure(
            {},
            {
                "matches": array(ref("Match")),
                "teams": array(ref("Named")),
                "players": array(ref("Player")),
                "tournaments": array(ref("Named")),
            },
        ),
        {"q": "Part of a name."},
    ),
    "/recovery": Told(
        "Ask for what was missed over AMQP to be sent again",
        structure({"state": _text(enum=["initiated"]), "initiated_at": _MOMENT}),
    ),
    "/stream": Told("Frames of everything, as a WebSocket", ref("Frame")),
    "/stream/{match_id}": Told("Frames of one match, as a WebSocket", ref("Frame")),
}
