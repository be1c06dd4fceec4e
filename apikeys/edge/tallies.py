"""What was counted of the calls of a minute, key by key, until it is written."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from apikeys.edge.held import Held
from apikeys.refusals import Verdict
from apikeys.verdict import Call
from portal.lib.address import Address

# Of a refused call: servers take 400 kB. What is written is shorter (`usage_batches`), but first it
# is redacted, and for that it must be long enough.
LONGEST_METHOD, LONGEST_PATH = 16, 1000

# The key's id, calls let in, when the last of them was (milliseconds since 1970), and from where.
Row = tuple[bytes, int, int, Address | None]


@dataclass(slots=True)
class Refusal:
    """The last one of a key for one reason and from one address, and how many there were."""

    at: float
    method: str
    path: bytes
    detail: str
    calls: int


class Tally:
    """The calls of one key. used_at: when it was last let in; 0 for never. earlier_at: before that.

    What most keys have no need for is made when it is.
    """

    __slots__ = (
        "address",
        "allowed",
        "earlier_address",
        "earlier_at",
        "key",
        "refusals",
        "refused",
        "used_at",
    )

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.allowed = 0
        self.used_at = self.earlier_at = 0.0
        self.address: Address | None = None
        self.earlier_address: Address | None = None
        self.refused: Counter[str] | None = None
        self.refusals: dict[tuple[str, Address | None], Refusal] | None = None

    @property
    def row(self) -> Row:
        """Of its calls that were let in."""
        return self.key, self.allowed, int(self.used_at * 1000), self.address

    def let_in(self, now: float, address: Address | None, calls: int = 1) -> None:
        """Count calls that were, the last of them now."""
        self.allowed += calls
        if now >= self.used_at:
            self.earlier_at, self.earlier_address = self.used_at, self.address
            self.used_at, self.address = now, address

    def take_back(self, at: float) -> None:
        """A call that was let in then was refused after all, and so was no use of the key.

        What is written already stays so: of calls the row here is then one below zero.
        """
        self.allowed -= 1
        if self.used_at == at:
            self.used_at, self.address = self.earlier_at, self.earlier_address
        elif self.earlier_at != at:
            return
        self.earlier_at, self.earlier_address = 0.0, None

    def refuse(self, call: Call, verdict: Verdict, now: float, most_reasons: int) -> None:
        """Count a refusal; note what it was about unless there are too many different ones."""
        if self.refused is None or self.refusals is None:
            self.refused, self.refusals = Counter(), {}
        self.refused[verdict.code] += 1
        why = (verdict.code, call.address)
        known = self.refusals.get(why)
        if known or len(self.refusals) < most_reasons:
            calls = known.calls + 1 if known else 1
            method, path = call.method[:LONGEST_METHOD], call.path[:LONGEST_PATH]
            self.refusals[why] = Refusal(now, method, path, verdict.detail, calls)


@dataclass(slots=True)
class Minute:
    """The calls of a minute: those of the short way (`apikeys.edge.again`), and all others.

    Of the short way calls and used_at, by record: how many, and when the last came (milliseconds
    since 1970). With many keys in use nearly each call is another key's, so that is all there is
    of them: no line of Python runs for each. The address is that of the call before it, which the
    record has.
    """

    tallies: dict[bytes, Tally] = field(default_factory=dict)
    calls: Counter[Held] = field(default_factory=Counter)
    used_at: dict[Held, int] = field(default_factory=dict)
    refusing: list[Tally] = field(default_factory=list)

    def __len__(self) -> int:
        """How many tallies there are, those of the short way included."""
        return len(self.tallies) + len(self.calls)

    def let_in_again(self, records: list[Held], now: float) -> None:
        """Count calls of the short way: one for each time that a record is among these."""
        self.calls.update(records)
        self.used_at.update(dict.fromkeys(records, int(now * 1000)))

    def has_more_plain(self, number: int) -> bool:
        """Whether more tallies than that have no refusals."""
        plain = (tally for tally in self.tallies.values() if not tally.refused)
        return len(self.calls) + len(list(islice(plain, number + 1))) > number

    def plain_rows(self) -> Iterator[Row]:
        """One for each key without refusals. Then `refusing` has all there is of the others."""
        tallies, used_at = self.tallies, self.used_at
        for record, calls in self.calls.items():
            key = record.key
            if key in tallies:
                self._join(record, calls)
            else:
                yield key, calls, used_at[record], record.before.address
        for tally in tallies.values():
            if tally.refused:
                self.refusing.append(tally)
            else:
                yield tally.row

    def by_key(self) -> list[Tally]:
        """All there is, one tally for each key."""
        for record, calls in self.calls.items():
            self._join(record, calls)
        return list(self.tallies.values())

    def _join(self, record: Held, calls: int) -> None:
        """The record's calls of the short way to its key's tally."""
        tally = self.tallies.setdefault(record.key, Tally(record.key))
        tally.let_in(self.used_at[record] / 1000, record.before.address, calls)
