"""What was counted, in the form in which Postgres gets it, a bounded number of keys at a time."""

import json
import uuid
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from apikeys.edge.tallies import Minute, Row, Tally
from apikeys.edge.usage_sql import AT_ONCE, KEEP, TRIM, WRITE
from apikeys.waiting import SLICES, slice_of
from portal.lib.address import Address
from portal.lib.redact import redacted_path

BATCH = 1_000  # tallies in a statement, so that none takes long, here (milliseconds) or there
MOST_BY_ROW = 1_000  # of a minute and without refusals; more of them wait in rows of many
MOST_SLICED = 40_000  # tallies, to which rows are made
MOST_AT_ONCE = 4_000  # of those, so that no call waits for more than some milliseconds
MOST_REFUSALS = 20  # reasons and addresses that are kept for a key
METHOD_LENGTH, PATH_LENGTH, DETAIL_LENGTH = 16, 200, 400

Seen = tuple[float, Address | None, int]  # when last, from where, how often
Retired = dict[int, Seen]  # by the id of the secret


Minutes = dict[int, Minute]  # by the second that it begins with


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
    about retired secrets is in one of them.
    """
    for start, minute in minutes.items():
        is_many = minute.has_more_plain(MOST_BY_ROW)
        left = (yield from _to_wait(start, minute)) if is_many else minute.by_key()
        tallies = iter(left)
        while some := list(islice(tallies, BATCH)):
            batch = _batch(start, some, retired)
            retired = {}
            yield batch
    if retired:
        yield _batch(0, [], retired)


def trim(batch: Batch) -> tuple[str, list[object]]:
    """A statement, and its parameters, that leaves each of these keys its latest refusals."""
    return TRIM, [batch.refused_keys, MOST_REFUSALS]


def _to_wait(start: int, minute: Minute) -> Generator[Batch | None, None, list[Tally]]:
    """Those without refusals, by the slice. Gives those with, which are still to be written.

    Each is looked at once: most of its price is memory that the processor has not seen lately.
    """
    rows = minute.plain_rows()
    for _ in range(0, len(minute), MOST_SLICED):
        slices: list[list[Row]] = [[] for _ in range(SLICES)]
        for _ in range(0, MOST_SLICED, MOST_AT_ONCE):
            for row in islice(rows, MOST_AT_ONCE):
                slices[slice_of(row[0])].append(row)
            yield None
        for first in range(0, SLICES, AT_ONCE):
            batch = _kept(start, first, slices[first : first + AT_ONCE])
            if batch.tallies:
                yield batch
    return minute.refusing


def _kept(start: int, first: int, slices: list[list[Row]]) -> Batch:
    """Rows of these slices."""
    parameters: list[str | int] = [start]
    for place, rows in enumerate(slices, first):
        parameters += [place, *_columns(rows)]
    return Batch(KEEP, parameters, [], sum(map(len, slices)))


def _columns(rows: Sequence[Row]) -> list[str]:
    """In Postgres's form of arrays."""
    keys = b"".join([row[0] for row in rows]).hex(",", 16)
    calls = ",".join([str(row[1]) for row in rows])
    used_at = ",".join([str(row[2]) for row in rows])
    addresses = ",".join(_written([row[3] for row in rows]))
    return [f"{{{column}}}" for column in (keys, calls, used_at, addresses)]


def _batch(start: int, tallies: list[Tally], retired: Retired) -> Batch:
    refused = [tally for tally in tallies if tally.refused]
    parameters: list[str | int] = [
        *_columns([tally.row for tally in tallies]),
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
            "path": _printable(redacted_path(path))[:PATH_LENGTH],
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
