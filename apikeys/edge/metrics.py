"""`GET /metrics`, on the internal listener alone: what Prometheus is told.

Any process of the machine door answers for all of them. Of itself it knows the facts; those of the
others it reads from where they write them once a second. No tenant and no key is named.
"""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from apikeys.edge.answers import Answer, plain, refusal
from apikeys.edge.calls import Scope
from apikeys.edge.database import Database, DatabaseAway, Rows
from apikeys.edge.gate import Gate
from apikeys.edge.latency import MEASURED
from apikeys.refusals import NOT_FOUND, method_not_allowed
from apikeys.routes import Route

ROUTE = Route("/metrics")
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
ASK_SECONDS = 1.0

_PROCESSES = "SELECT id, facts FROM apikeys_doorprocess WHERE counted_until > now()"
_CANARY = """
SELECT processes, reached, seconds, extract(epoch FROM now() - at)::float
FROM apikeys_propagationrun ORDER BY at DESC LIMIT 1
"""
# By the rules of `apikeys.propagation`; NULL while a process that was there has not heard of it.
_LAST_CHANGE = """
SELECT CASE WHEN count(said.process) = count(*)
            THEN extract(epoch FROM max(said.heard_at) - change.at)::float END
FROM (
    SELECT * FROM apikeys_announcement
    WHERE name NOT IN (SELECT id::text FROM apikeys_canary)
    ORDER BY at DESC LIMIT 1
) AS change
JOIN apikeys_doorprocess AS process
ON process.is_remembering AND process.counted_until > now() AND process.started_at < change.at
LEFT JOIN apikeys_acknowledgement AS said
ON said.kind = change.kind AND said.name = change.name AND said.process = process.id
AND said.version >= change.version AND said.heard_at >= change.at
GROUP BY change.at
"""

Labels = Mapping[str, str]
Sample = tuple[
    str, Labels, float | None
]  # a suffix of the name, labels, and a value if it is known
Metric = tuple[str, str, str, list[Sample]]  # name, type, what it is, samples

# Name → type, the fact, and what it is.
_PLAIN = {
    "portal_usage_waiting": ("gauge", "usage_waiting", "Counts of calls still to be written."),
    "portal_usage_lost_total": ("counter", "usage_lost", "Calls counted for no key: no room."),
    "portal_directory_keys": ("gauge", "directory_keys", "API keys that are remembered."),
    "portal_directory_misses_total": (
        "counter",
        "misses",
        "Calls whose key had to be read from Postgres.",
    ),
    "portal_directory_age_seconds": (
        "gauge",
        "directory_age",
        "Since the last proof that changes are heard; above 0.6 Postgres is asked on each call.",
    ),
    "portal_listener_losses_total": (
        "counter",
        "listener_losses",
        "How often the connection that hears changes was lost, or could not be made.",
    ),
    "portal_limiter_failures_total": (
        "counter",
        "limiter_failures",
        "Calls that were let through uncounted because Redis could not be asked.",
    ),
    "portal_streams_open": ("gauge", "streams", "Open WebSockets."),
}
# Name → the fact, and what it is.
_HISTOGRAMS = {
    "portal_call_seconds": (
        "calls_took",
        "From hearing of a call until its answer was handed to the server, by a guard to the feed; "
        f"measured of one call in {MEASURED}.",
    ),
    "portal_call_wait_seconds": (
        "waits",
        "Of all calls that could not be decided from memory: until they were decided.",
    ),
    "portal_lookup_seconds": (
        "lookups",
        "Readings of keys from Postgres, for calls whose key was not remembered.",
    ),
}


async def answer_metrics(gate: Gate, scope: Scope, request_id: str) -> Answer:
    """All metrics. Where Postgres cannot be asked: those of this process, and that it is away."""
    if scope["raw_path"] != ROUTE.template.encode("ascii"):
        return refusal(NOT_FOUND, None, request_id)
    if scope["method"] not in ROUTE.methods:
        return refusal(method_not_allowed(ROUTE), None, request_id)
    processes: dict[uuid.UUID, Any] = {}
    found: dict[str, Rows] = {}
    try:
        rows = await _ask(gate.database, _PROCESSES)
        found = {
            "canary": await _ask(gate.database, _CANARY),
            "change": await _ask(gate.database, _LAST_CHANGE),
        }
        processes = dict(rows)
    except DatabaseAway:
        found = {}
    processes[gate.process] = gate.facts()
    metrics = [
        _one("portal_database_up", "Whether Postgres could be asked.", 1 if found else 0),
        *_of_processes(processes),
        *_of_propagation(found),
    ]
    answer = plain(200, render(metrics), request_id)
    headers = [(name, value) for name, value in answer.headers if name != b"content-type"]
    return Answer(200, [(b"content-type", CONTENT_TYPE), *headers], answer.body)


def render(metrics: list[Metric]) -> str:
    """The text format, version 0.0.4. What is not known is left out."""
    return "".join(f"{line}\n" for metric in metrics for line in _lines(metric))


def _lines(metric: Metric) -> Iterator[str]:
    name, kind, what, samples = metric
    yield f"# HELP {name} {what}"
    yield f"# TYPE {name} {kind}"
    for suffix, labels, value in samples:
        if value is not None:
            inside = ",".join(f'{label}="{text}"' for label, text in labels.items())
            yield f"{name}{suffix}{{{inside}}} {value}" if inside else f"{name}{suffix} {value}"


async def _ask(database: Database, statement: str) -> Rows:
    return await database.ask(statement, seconds=ASK_SECONDS)


def _one(name: str, what: str, value: float | None) -> Metric:
    return name, "gauge", what, [("", {}, value)]


def _of_processes(processes: Mapping[uuid.UUID, Any]) -> Iterator[Metric]:
    named = [({"process": identity.hex[:12]}, facts) for identity, facts in processes.items()]
    yield (
        "portal_calls_total",
        "counter",
        "Calls by outcome: allowed, or the code of the refusal.",
        [
            ("", labels | {"outcome": outcome}, calls)
            for labels, facts in named
            for outcome, calls in sorted(facts["calls"].items())
        ],
    )
    for name, (kind, fact, what) in _PLAIN.items():
        yield name, kind, what, [("", labels, facts.get(fact)) for labels, facts in named]
    yield (
        "portal_directory_hits_total",
        "counter",
        "Calls with a key that were decided without reading it from Postgres.",
        [("", labels, _hits(facts)) for labels, facts in named],
    )
    for name, (fact, what) in _HISTOGRAMS.items():
        yield (
            name,
            "histogram",
            what,
            [sample for labels, facts in named for sample in _buckets(labels, facts.get(fact, {}))],
        )


def _hits(facts: Mapping[str, Any]) -> float | None:
    if "misses" not in facts:  # told by an older program, while it is replaced by this one
        return None
    without = ("key_missing", "key_ambiguous")
    calls = sum(calls for code, calls in facts["calls"].items() if code not in without)
    hits: float = calls - facts["misses"]
    return hits


def _buckets(labels: Labels, held: Mapping[str, Any]) -> Iterator[Sample]:
    if "bounds" not in held:  # as in _hits
        return
    total = 0
    for bound, count in zip([*held["bounds"], "+Inf"], held["counts"], strict=True):
        total += count
        yield "_bucket", {**labels, "le": str(bound)}, total
    yield "_sum", labels, held["seconds"]
    yield "_count", labels, total


def _of_propagation(found: Mapping[str, Rows]) -> Iterator[Metric]:
    (change,) = [row[0] for row in found.get("change", [])] or [None]
    yield _one(
        "portal_change_seconds",
        "From the last change to the last process that heard; absent until all have.",
        change,
    )
    canary = (found.get("canary") or [(None, None, None, None)])[0]
    names = {
        "portal_canary_processes": "Processes that the last change of the canary concerned.",
        "portal_canary_reached": "Processes that heard of it in time.",
        "portal_canary_seconds": "Until the last of them had heard; absent if not all did.",
        "portal_canary_age_seconds": "Since the canary was last changed.",
    }
    for (name, what), value in zip(names.items(), canary, strict=True):
        yield _one(name, what, value)
