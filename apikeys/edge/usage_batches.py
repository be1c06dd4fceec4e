"""What was counted, in the form in which Postgres gets it, a bounded number of keys at a time."""

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from apikeys.refusals import Verdict
from apikeys.verdict import Call
from portal.lib.address import Address
from portal.lib.redact import redacted

BATCH = 1_000  # tallies in a statement, so that none takes long, here (milliseconds) or there
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

# In one statement and so in one snapshot: either all of a batch is written or nothing. Rows are
# locked in the order of their keys, so that processes wait for each other and not in a circle. A
# key or secret that is gone is left out.
WRITE = """
WITH mine AS (
    INSERT INTO apikeys_usagewriter AS known (process, batch, written_at)
    VALUES (%s, %s, now())
    ON CONFLICT (process) DO UPDATE SET batch = excluded.batch, written_at = excluded.written_at
    WHERE known.batch < excluded.batch
    RETURNING batch
), sent AS MATERIALIZED (
    SELECT sent.* FROM mine, unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::inet[])
    AS sent (key, allowed, used_at, address)
), uses AS MATERIALIZED (
    SELECT key, to_timestamp(used_at / 1000.0) AS at, address FROM sent WHERE used_at > 0
), given AS MATERIALIZED (
    SELECT sent.* FROM mine, (
        VALUES (to_timestamp(%s::bigint), %s::jsonb, %s::jsonb, %s::jsonb)
    ) AS sent (start, refused, refusals, retired)
), calls AS MATERIALIZED (
    SELECT key, 'allowed' AS outcome, allowed AS calls FROM sent WHERE allowed <> 0
    UNION ALL
    SELECT noted.* FROM given, jsonb_to_recordset(given.refused)
    AS noted (key uuid, outcome text, calls bigint)
), keys AS MATERIALIZED (
    SELECT key.id FROM apikeys_apikey AS key WHERE key.id IN (SELECT sent.key FROM sent)
    ORDER BY key.id FOR KEY SHARE
), secrets AS MATERIALIZED (
    SELECT secret.id, to_timestamp(noted.at) AS at, noted.address, noted.calls
    FROM given, jsonb_to_recordset(given.retired)
    AS noted (secret bigint, at float, address inet, calls bigint)
    JOIN apikeys_apikeysecret AS secret ON secret.id = noted.secret
    ORDER BY secret.id FOR KEY SHARE OF secret
), counted AS (
    INSERT INTO apikeys_keycalls AS known (key_id, period, start, outcome, calls)
    SELECT keys.id, 'minute', given.start, noted.outcome, noted.calls
    FROM calls AS noted JOIN keys ON keys.id = noted.key CROSS JOIN given
    ORDER BY noted.key, noted.outcome
    ON CONFLICT (key_id, period, start, outcome)
    DO UPDATE SET calls = known.calls + excluded.calls
), used AS (
    INSERT INTO apikeys_keyuse AS known (key_id, last_used_at, last_address)
    SELECT keys.id, noted.at, noted.address
    FROM uses AS noted JOIN keys ON keys.id = noted.key ORDER BY noted.key
    ON CONFLICT (key_id) DO UPDATE
    SET last_used_at = excluded.last_used_at, last_address = excluded.last_address
    WHERE known.last_used_at < excluded.last_used_at
), refused AS (
    INSERT INTO apikeys_keyrefusal AS known
        (key_id, outcome, address, at, method, path, detail, calls)
    SELECT keys.id, noted.outcome, noted.address,
           to_timestamp(noted.at), noted.method, noted.path, noted.detail, noted.calls
    FROM given, jsonb_to_recordset(given.refusals) AS noted (
        key uuid, outcome text, address text, at float,
        method text, path text, detail text, calls bigint
    )
    JOIN keys ON keys.id = noted.key ORDER BY noted.key, noted.outcome, noted.address
    ON CONFLICT (key_id, outcome, address) DO UPDATE
    SET at = greatest(known.at, excluded.at), method = excluded.method, path = excluded.path,
        detail = excluded.detail, calls = known.calls + excluded.calls
), retired AS (
    INSERT INTO apikeys_secretuse AS known (secret_id, last_used_at, last_address, calls)
    SELECT id, at, address, calls FROM secrets ORDER BY id
    ON CONFLICT (secret_id) DO UPDATE
    SET calls = known.calls + excluded.calls,
        last_used_at = greatest(known.last_used_at, excluded.last_used_at),
        last_address = CASE WHEN known.last_used_at < excluded.last_used_at
            THEN excluded.last_address ELSE known.last_address END
)
SELECT batch FROM mine
"""

# A statement of its own: it has to see what the one above has written.
_TRIM = """
DELETE FROM apikeys_keyrefusal WHERE id IN (
    SELECT id FROM (
        SELECT id, row_number() OVER (PARTITION BY key_id ORDER BY at DESC, id DESC) AS place
        FROM apikeys_keyrefusal WHERE key_id = ANY(%s)
    ) AS kept WHERE place > %s
)
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one statement writes. parameters: what WRITE asks for after process and number."""

    parameters: list[str | int]
    refused_keys: list[uuid.UUID]
    tallies: int


def batches(minutes: Minutes, retired: Retired) -> Iterator[Batch]:
    """All that was counted, in batches that are made when they are asked for, each of one minute.

    What is about retired secrets is in the first of them. A tally that is in a batch begins anew.
    """
    for start, of_keys in minutes.items():
        tallies = iter(of_keys)
        while some := list(islice(tallies, BATCH)):
            batch = _batch(start, some, retired)
            retired = {}
            for tally in some:
                tally.begin()
            yield batch


def trim(batch: Batch) -> tuple[str, list[object]]:
    """A statement, and its parameters, that leaves each of these keys its latest refusals."""
    return _TRIM, [batch.refused_keys, MOST_REFUSALS]


def _batch(start: int, tallies: list[Tally], retired: Retired) -> Batch:
    # With every key in use this is done every few seconds: a pass for each column, and no more.
    refused = [tally for tally in tallies if tally.refused]
    parameters: list[str | int] = [
        _array([tally.key.hex() for tally in tallies]),
        _array([str(tally.allowed) for tally in tallies]),
        _array([str(int(tally.used_at * 1000)) for tally in tallies]),
        _array(_addresses(tallies)),
        start,
        json.dumps([each for tally in refused for each in _refused(tally)]),
        json.dumps([each for tally in refused for each in _refusals(tally)]),
        json.dumps([_retired(secret_id, seen) for secret_id, seen in retired.items()]),
    ]
    return Batch(parameters, [uuid.UUID(bytes=tally.key) for tally in refused], len(tallies))


def _array(words: list[str]) -> str:
    """Postgres's form of an array. The words are numbers, ids, addresses: nothing to escape."""
    return f"{{{','.join(words)}}}"


def _addresses(tallies: list[Tally]) -> list[str]:
    """Most of them are one object, that of a proxy or a busy caller: it is written out once."""
    found = {id(tally.address): tally.address for tally in tallies}
    texts = {number: _text(address) or "NULL" for number, address in found.items()}
    return [texts[id(tally.address)] for tally in tallies]


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
