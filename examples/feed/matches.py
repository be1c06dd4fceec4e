"""Matches as a function of time: nothing is stored, and every process tells the same.

One begins every 20 minutes and takes an hour: three maps of 20 rounds, a minute each. Seconds are
whole ones of Unix time.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from examples.feed.cast import MAPS, Entry, chance, pick, teams, tournaments

APART_SECONDS = 1200
ROUND_SECONDS = 60
ROUNDS_A_MAP = 20
MAPS_A_MATCH = 3
MATCH_SECONDS = MAPS_A_MATCH * ROUNDS_A_MAP * ROUND_SECONDS
UPCOMING, PAST = 3, 8  # matches that are listed beside the live ones

Round = tuple[int, int]  # number of the map and of its round, both from 1


def moment(second: int) -> str:
    """As RFC 3339 writes it."""
    return dt.datetime.fromtimestamp(second, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Match:
    """A match at a moment."""

    number: int
    now: int

    @property
    def id(self) -> str:
        """What it is called outside."""
        return f"match-{self.number}"

    @property
    def began(self) -> int:
        """The second it begins in, or began."""
        return self.number * APART_SECONDS

    @property
    def state(self) -> str:
        """upcoming, live or finished."""
        if self.now < self.began:
            return "upcoming"
        return "live" if self.now < self.began + MATCH_SECONDS else "finished"

    @cached_property
    def teams(self) -> list[Entry]:
        """The two, `team_a` first."""
        all_teams = teams()
        first = pick(len(all_teams), "first team of", self.number)
        second = (first + 1 + pick(len(all_teams) - 1, "second of", self.number)) % len(all_teams)
        return [all_teams[first], all_teams[second]]

    @property
    def map_names(self) -> list[str]:
        """Three different ones, in the order in which they are played."""
        first = pick(len(MAPS), "first map of", self.number)
        return [MAPS[(first + 2 * place) % len(MAPS)] for place in range(MAPS_A_MATCH)]

    @property
    def rounds_played(self) -> int:
        """How many rounds are over, on all maps."""
        played = (min(self.now, self.began + MATCH_SECONDS) - self.began) // ROUND_SECONDS
        return max(0, played)

    @property
    def round(self) -> Round:
        """The one that is being played. Of a live match only."""
        return round_of(self.rounds_played)

    def winner(self, index: int) -> int:
        """Which team won that round, counted from 0 over all maps: 0 or 1."""
        strength = 0.35 + 0.3 * chance("strength in", self.number)
        return int(chance("winner", self.number, index) > strength)

    def scores(self) -> list[list[int]]:
        """Rounds won by each team, map by map, as far as they are played."""
        found = [[0, 0] for _ in range(MAPS_A_MATCH)]
        for index in range(self.rounds_played):
            found[index // ROUNDS_A_MAP][self.winner(index)] += 1
        return found

    def as_listed(self) -> Entry:
        """The basic shape."""
        tournament = tournaments()[self.number % len(tournaments())]
        won = [0, 0]
        for place, score in enumerate(self.scores()):
            if self.rounds_played >= (place + 1) * ROUNDS_A_MAP and score[0] != score[1]:
                won[score[1] > score[0]] += 1
        return {
            "id": self.id,
            "state": self.state,
            "scheduled_at": moment(self.began),
            "tournament": tournament,
            "teams": [{"id": team["id"], "name": team["name"]} for team in self.teams],
            "score": won,
        }

    def as_read(self) -> Entry:
        """The basic shape, and when and on which maps it is played."""
        ended = self.began + MATCH_SECONDS
        return {
            **self.as_listed(),
            "started_at": moment(self.began) if self.state != "upcoming" else None,
            "finished_at": moment(ended) if self.state == "finished" else None,
            "maps": [
                {"id": name, "number": number, "score": score}
                for number, (name, score) in enumerate(
                    zip(self.map_names, self.scores(), strict=True), 1
                )
            ],
        }

    def timeline(self) -> list[Entry]:
        """What happened, round by round, the first one first."""
        return [self.round_ended(index) for index in range(self.rounds_played)]

    def round_ended(self, index: int) -> Entry:
        """How the round ended, counted from 0 over all maps."""
        number, of_map = round_of(index)
        killer = self.teams[pick(2, "first kill", self.number, index)]
        return {
            "match_id": self.id,
            "map": number,
            "round": of_map,
            "winner": self.teams[self.winner(index)]["id"],
            "first_kill": killer["players"][pick(5, "first killer", self.number, index)],
            "ended_at": moment(self.began + (index + 1) * ROUND_SECONDS),
        }

    def scoreboard(self) -> Entry:
        """Health and money of everybody, this very second."""
        return {
            "match_id": self.id,
            "map": self.round[0],
            "round": self.round[1],
            "players": [
                {
                    "id": player,
                    "health": pick(101, "health", player, self.now),
                    "money": 50 * pick(320, "money", player, self.number, self.rounds_played),
                }
                for team in self.teams
                for player in team["players"]
            ],
        }


def round_of(index: int) -> Round:
    """Number of the map and of its round, of a round that is counted from 0 over all maps."""
    return index // ROUNDS_A_MAP + 1, index % ROUNDS_A_MAP + 1


def listed(now: int) -> Iterator[Match]:
    """Those that are told about, the latest to begin first."""
    latest = now // APART_SECONDS
    live = MATCH_SECONDS // APART_SECONDS
    for number in range(latest + UPCOMING, latest - live - PAST, -1):
        yield Match(number, now)


def live(now: int) -> list[Match]:
    """Those that are being played."""
    return [match for match in listed(now) if match.state == "live"]


def find(match_id: str, now: int) -> Match | None:
    """The listed one with this id."""
    return next((match for match in listed(now) if match.id == match_id), None)
