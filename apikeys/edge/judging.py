"""The verdict on a call and, of one that is let in, what its tenant has switched off.

For whatever stands before a feed: the guard and forward auth.
"""

import logging
from time import monotonic

from apikeys.edge import reads
from apikeys.edge.database import DatabaseAway
from apikeys.edge.gate import Decision, Gate
from apikeys.edge.markets import Switched, UnknownTenant
from apikeys.refusals import KEY_INVALID, UNAVAILABLE
from apikeys.verdict import Call

_log = logging.getLogger(__name__)


async def judge(gate: Gate, call: Call, request_id: str) -> tuple[Decision, Switched | None]:
    """The switches are there if, and only if, the call is let in."""
    began_at = monotonic()
    decision = await gate.decide(call)
    record, verdict = decision.record, decision.verdict
    if record is None or not verdict.is_allowed:
        return decision, None
    try:
        return decision, await gate.markets.of(record.tenant_id, reads.until(began_at))
    except DatabaseAway:
        verdict = UNAVAILABLE
    except UnknownTenant:  # it has just been deleted, and its keys with it
        verdict = KEY_INVALID
    except Exception:  # it is counted already, and as let in
        _log.exception("The verdict failed on request %s: no switches", request_id)
        verdict = UNAVAILABLE
    return gate.refuse_after_all(call, decision, verdict), None
