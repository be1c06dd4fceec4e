"""What was counted, in the form in which Postgres gets it, a bounded number of keys at a time."""

import json
import uuid
from collections import Counter
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from apikeys.edge.usage_sql import AT_ONCE, KEEP, TRIM, WRITE
from apikeys.refusals import Verdict
from apikeys.verdict import Call
from apikeys.waiting import SLICES, slice_of
from portal.lib.address import Address
from portal.lib.redact import redacted

BATCH = 1_000  # tallies in a statement, so that none takes long, here (milliseconds) or there
MOST_BY_ROW = 1_000  # of a minute and without refusals; more of them wait in rows of many
MOST_SLICED = 40_000  # tallies, to which rows are made
MOST_AT_ONCE = 4_000  # of those, so that no call waits for more than some milliseconds
MOST_REFUSALS = 20  # reasons and addresses that are kept for a key
METHOD_LENGTH, PATH_LENGTH, DETAIL_LENGTH = 16, 200, 400

Seen = tuple[float, Address | None, int]  # when last, from where, how often
Retired = dict[int, Seen]  # by the id of the secret


@dataclass(slots=True)
class Refusal:
    """The last one of a key for one reason and from one address, and how many there were."""

    at: float
    method: str
    path: bytes
    detail: str
    calls: int


class Tally:
    """The calls of one key within a minute that were not written yet.

    used_at: when it was last let in; 0 for never. round: while it is the counter's own, calls of
    this key are to be counted here. is_noted: whether it waits to be written. There is a tally for
    each key in use, so what most of them have no need for is made when it is.
    """

    __slots__ = (
        "address",
        "allowed",
        "is_noted",
        "key",
        "refusals",
        "refused",
        "round",
        "used_at",
    )

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.round: object = None
        self.begin()

    def begin(self) -> None:
        """All that it counted is on its way."""
        self.is_noted = False
        self.allowed = 0
        self.used_at = 0.0
        self.address: Address | None = None
        self.refused: Counter[str] | None = None
        self.refusals: dict[tuple[str, Address | None], Refusal] | None = None

    def let_in(self, now: float, address: Address | None) -> None:
        """Count a call that was."""
        self.allowed += 1
        self.used_at, self.address = now, address

    def refuse(self, call: Call, verdict: Verdict, now: float, most_reasons: int) -> None:
        """Count a refusal; note what it was about unless there are too many different ones."""
        if self.refused is None or self.refusals is None:
            self.refused, self.refusals = Counter(), {}
        self.refused[verdict.code] += 1
        why = (verdict.code, call.address)
        known = self.refusals.get(why)
        if known or len(self.refusals) < most_reasons:
            calls = known.calls + 1 if known else 1
            self.refusals[why] = Refusal(now, call.method, call.path, verdict.detail, calls)


Minutes = dict[int, list[Tally]]  # by the second that the minute begins with; each key once


@dataclass(frozen=True, slots=True)
class Batch:
    """What one statement writes. parameters: what it asks for after process and number."""

    statement: str
    parameters: list[str | int]
    refused_keys: list[uuid.UUID]
    tallies: int


def batches(minutes: Minutes, retired: Retired) -> Iterator[Batch | None]:
    """All that was counted, in batches that are made when they are asked for, each of one minute.

    None is no batch: it asks that others may do something before the next one is made. What is
    about retired secrets is in one of them. A tally that is in a batch begins anew.
    """
    for start, of_keys in minutes.items():
        left = (yield from _to_wait(start, of_keys)) if _are_many(of_keys) else of_keys
        tallies = iter(left)
        while some := list(islice(tallies, BATCH)):
            batch = _batch(start, some, retired)
            retired = {}
            for tally in some:
                tally.begin()
            yield batch
    if retired:
        yield _batch(0, [], retired)


def trim(batch: Batch) -> tuple[str, list[object]]:
    """A statement, and its parameters, that leaves each of these keys its latest refusals."""
    return TRIM, [batch.refused_keys, MOST_REFUSALS]


def _are_many(tallies: list[Tally]) -> bool:
    plain = (tally for tally in tallies if not tally.refused)
    return len(list(islice(plain, MOST_BY_ROW + 1))) > MOST_BY_ROW


def _to_wait(start: int, tallies: list[Tally]) -> Generator[Batch | None, None, list[Tally]]:
    """Those without refusals, by the slice. Gives those with, which are still to be written."""
    left: list[Tally] = []
    many = iter(tallies)
    while some := list(islice(many, MOST_SLICED)):
        slices = [_Columns() for _ in range(SLICES)]
        for first in range(0, len(some), MOST_AT_ONCE):
            left += _sliced(some[first : first + MOST_AT_ONCE], slices)
            yield None
        for first in range(0, SLICES, AT_ONCE):
            batch = _kept(start, first, slices[first : first + AT_ONCE])
            if batch.tallies:
                yield batch
    return left


class _Columns:
    """Of tallies: keys, calls let in, the last of them (milliseconds since 1970) and from where."""

    __slots__ = ("addresses", "allowed", "keys", "used_at")

    def __init__(self, tallies: Collection[Tally] = ()) -> None:
        self.keys = [tally.key for tally in tallies]
        self.allowed = [tally.allowed for tally in tallies]
        self.used_at = [int(tally.used_at * 1000) for tally in tallies]
        self.addresses = [tally.address for tally in tallies]

    @property
    def texts(self) -> list[str]:
        """Postgres's form of arrays."""
        return [
            f"{{{b''.join(self.keys).hex(',', 16)}}}",
            f"{{{str(self.allowed)[1:-1]}}}",
            f"{{{str(self.used_at)[1:-1]}}}",
            f"{{{','.join(_written(self.addresses))}}}",
        ]


def _sliced(tallies: list[Tally], slices: list[_Columns]) -> list[Tally]:
    """Put into their slices; gives those with refusals, which are not.

    All in one pass: most of its price is memory that the processor has not seen lately.
    """
    left = []
    for tally in tallies:
        if tally.refused:
            left.append(tally)
            continue
        of_slice = slices[slice_of(tally.key)]
        of_slice.keys.append(tally.key)
        of_slice.allowed.append(tally.allowed)
        of_slice.used_at.append(int(tally.used_at * 1000))
        of_slice.addresses.append(tally.address)
        tally.begin()
    return left


def _kept(start: int, first: int, slices: list[_Columns]) -> Batch:
    """Rows of these slices."""
    parameters: list[str | int] = [start]
    for place, of_slice in enumerate(slices, first):
        parameters += [place, *of_slice.texts]
    return Batch(KEEP, parameters, [], sum(len(of_slice.keys) for of_slice in slices))


def _batch(start: int, tallies: list[Tally], retired: Retired) -> Batch:
    refused = [tally for tally in tallies if tally.refused]
    parameters: list[str | int] = [
        *_Columns(tallies).texts,
        start,
        json.dumps([each for tally in refused for each in _refused(tally)]),
        json.dumps([each for tally in refused for each in _refusals(tally)]),
        json.dumps([_retired(secret_id, seen) for secret_id, seen in retired.items()]),
    ]
    refused_keys = [uuid.UUID(bytes=tally.key) for tally in refused]
    return Batch(WRITE, parameters, refused_keys, len(tallies))


def _written(addresses: list[Address | None]) -> list[str]:
    """Most of them are one object, that of a proxy or a busy caller: it is written out once."""
    numbers = list(map(id, addresses))
    found = dict(zip(numbers, addresses, strict=True))
    texts = {number: _text(address) or "NULL" for number, address in found.items()}
    return [texts[number] for number in numbers]


def _refused(tally: Tally) -> Iterator[dict[str, Any]]:
    """How often for each reason."""
    for outcome, calls in (tally.refused or {}).items():
        yield {"key": tally.key.hex(), "outcome": outcome, "calls": calls}


def _refusals(tally: Tally) -> Iterator[dict[str, Any]]:
    """The last for each reason and address."""
    for (outcome, address), refusal in (tally.refusals or {}).items():
        path = refusal.path.decode("ascii", "backslashreplace")
        yield {
            "key": tally.key.hex(),
            "outcome": outcome,
            "address": _text(address) or "",
            "at": refusal.at,
            "method": _printable(refusal.method)[:METHOD_LENGTH],
            "path": _printable(redacted(path))[:PATH_LENGTH],
            "detail": _printable(refusal.detail)[:DETAIL_LENGTH],
            "calls": refusal.calls,
        }


def _retired(secret_id: int, seen: Seen) -> dict[str, Any]:
    at, address, calls = seen
    return {"secret": secret_id, "at": at, "address": _text(address), "calls": calls}


def _text(address: Address | None) -> str | None:
    return str(address) if address else None


def _printable(text: str) -> str:
    """Without control characters, NUL among them, which no text in Postgres holds."""
    if text.isprintable():
        return text
    return "".join(char for char in text if char.isprintable())
