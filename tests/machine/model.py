"""What should be true of people, sessions, codes and links, in plain Python: no Django, no HTTP.

The state machine does things to the portal and to this, and compares.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field

SECOND, MINUTE, HOUR = (dt.timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours"))
SESSION, HALF_WAY, LINK = 12 * HOUR, 5 * MINUTE, 72 * HOUR
TRIES = 5
STEP_SECONDS = 30
# Wrong codes: so many in so long, by strangers; and by a browser that has signed in before.
STRANGERS = [(5, 5 * MINUTE), (20, HOUR), (50, 24 * HOUR)]
KNOWN = [(5, 15 * MINUTE)]

# Nothing is asked so near an end that the time the asking takes could decide it.
NEAR = 2 * SECOND


@dataclass(eq=False)
class Person:
    """Somebody with an account. `key` is what the portal calls them."""

    key: str
    name: str
    tenant: str
    password: str
    former: list[str] = field(default_factory=list)
    has_factor: bool = False
    last_step: int = -1
    recovery: list[str] = field(default_factory=list)
    spent_recovery: list[str] = field(default_factory=list)
    wrong: dict[int | None, list[dt.datetime]] = field(default_factory=dict)

    def takes_step(self, step: int, now: dt.datetime) -> bool:
        """This step or a neighbour, and newer than the last one taken."""
        return abs(step - step_of(now)) <= 1 and step > self.last_step

    def is_shut(self, browser: int | None, now: dt.datetime) -> bool:
        """Have there been too many wrong codes, of all strangers or of this known browser?"""
        moments = self.wrong.get(browser, [])
        limits = STRANGERS if browser is None else KNOWN
        return any(sum(at > now - window for at in moments) >= most for most, window in limits)


@dataclass(eq=False)
class Session:
    """A cookie that opens, until it is over."""

    cookie: str
    person: Person
    since: dt.datetime
    is_ended: bool = False

    def is_alive(self, now: dt.datetime) -> bool:
        """Not ended, and not twelve hours old."""
        return not self.is_ended and now < self.since + SESSION


@dataclass(eq=False)
class HalfWay:
    """A cookie of somebody whose password was right: nobody, who may send codes for a while."""

    cookie: str
    person: Person
    since: dt.datetime
    tries: int = 0
    is_ended: bool = False

    def is_alive(self, now: dt.datetime) -> bool:
        """Not ended, not five minutes old, not tried five times."""
        return not self.is_ended and self.tries < TRIES and now < self.since + HALF_WAY


@dataclass(eq=False)
class Link:
    """An invitation's link; `invitation` is what the portal calls the invitation."""

    path: str
    invitation: str
    name: str
    tenant: str
    sent: dt.datetime
    is_spent: bool = False  # accepted, revoked, or replaced by a newer one

    def is_alive(self, now: dt.datetime) -> bool:
        """Not spent, and not 72 hours old."""
        return not self.is_spent and now < self.sent + LINK


@dataclass
class World:
    """Everybody, and everything that was ever handed out."""

    people: list[Person] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    half_way: list[HalfWay] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    accepted: int = 0

    def cookies(self) -> list[str]:
        """Every cookie that was ever handed out."""
        return [each.cookie for each in [*self.sessions, *self.half_way]]

    def alive(self, now: dt.datetime) -> list[Session]:
        """The sessions that open."""
        return [session for session in self.sessions if session.is_alive(now)]

    def session_of(self, cookie: str, now: dt.datetime) -> Session | None:
        """What opens with the cookie."""
        return next((each for each in self.alive(now) if each.cookie == cookie), None)

    def half_way_of(self, cookie: str) -> HalfWay | None:
        """The state before the code that belongs to the cookie, over or not."""
        return next((each for each in self.half_way if each.cookie == cookie), None)

    def drop(self, cookie: str) -> None:
        """Whatever the cookie was good for, it is no longer."""
        for each in [*self.sessions, *self.half_way]:
            each.is_ended |= each.cookie == cookie

    def end_all_of(self, person: Person) -> None:
        """The password has changed: nothing that the old one opened goes on."""
        for each in [*self.sessions, *self.half_way]:
            each.is_ended |= each.person is person

    def ends(self) -> Iterator[dt.datetime]:
        """Every moment at which something that is there now will be over."""
        yield from (each.since + SESSION for each in self.sessions if not each.is_ended)
        yield from (each.since + HALF_WAY for each in self.half_way if not each.is_ended)
        yield from (each.sent + LINK for each in self.links if not each.is_spent)
        for person in self.people:
            for browser, moments in person.wrong.items():
                for _, window in STRANGERS if browser is None else KNOWN:
                    yield from (at + window for at in moments)

    def is_near_an_end(self, now: dt.datetime) -> bool:
        """Would the time that asking takes decide the answer?"""
        in_step = now.timestamp() % STEP_SECONDS
        is_near_step = min(in_step, STEP_SECONDS - in_step) < NEAR.total_seconds()
        return is_near_step or any(abs(end - now) < NEAR for end in self.ends())


def step_of(now: dt.datetime) -> int:
    """The number of the authenticator's step."""
    return int(now.timestamp()) // STEP_SECONDS
