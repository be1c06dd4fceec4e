"""Who plays, where and what for: made up, and the same in every process."""

import hashlib
from typing import Any

TEAMS = (
    "Harbour Foxes",
    "Night Bakers",
    "Paper Lanterns",
    "Glass Anvils",
    "Red Bicycles",
    "Slow Comets",
    "Loud Library",
    "Copper Owls",
)
TOURNAMENTS = ("Sample Masters", "Winter Sample Cup", "Open Sample League")
MAPS = ("ancient", "anubis", "dust2", "inferno", "mirage", "nuke", "train")
PLAYERS_A_TEAM = 5
_SYLLABLES = (
    "ba",
    "do",
    "fen",
    "gri",
    "ko",
    "lu",
    "mar",
    "ne",
    "pix",
    "ra",
    "so",
    "ty",
    "vel",
    "zo",
)

Entry = dict[str, Any]  # what becomes a JSON object


def chance(*about: object) -> float:
    """A number from 0 up to 1, drawn once and for all for what it is about."""
    drawn = hashlib.blake2b(repr(about).encode(), digest_size=6).digest()
    return int.from_bytes(drawn) / 2**48


def pick(most: int, *about: object) -> int:
    """A whole number below `most`, drawn as `chance` is."""
    return int(chance(*about) * most)


def teams() -> list[Entry]:
    """All of them, with their players' ids."""
    return [
        {
            "id": f"team-{number}",
            "name": name,
            "players": [f"player-{number}-{place}" for place in range(1, PLAYERS_A_TEAM + 1)],
        }
        for number, name in enumerate(TEAMS, 1)
    ]


def players() -> list[Entry]:
    """All of them, team by team."""
    return [
        {"id": player, "name": _nickname(player), "team": {"id": team["id"], "name": team["name"]}}
        for team in teams()
        for player in team["players"]
    ]


def tournaments() -> list[Entry]:
    """All of them."""
    return [{"id": f"tournament-{n}", "name": name} for n, name in enumerate(TOURNAMENTS, 1)]


def maps() -> list[Entry]:
    """The maps that matches are played on."""
    return [{"id": name, "name": name.title()} for name in MAPS]


def _nickname(player: str) -> str:
    length = 2 + pick(2, "syllables of", player)
    return "".join(
        _SYLLABLES[pick(len(_SYLLABLES), "nickname", player, place)] for place in range(length)
    )
