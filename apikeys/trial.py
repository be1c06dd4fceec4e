"""**Test this key**: what would become of a call, by the verdict that the machine door makes."""

from django.db import connection
from django.db.models import F

from apikeys.edge.held import Held
from apikeys.edge.openapi import ROUTE as OPENAPI
from apikeys.edge.rows import LOOKUP, parse_row
from apikeys.models import ApiKey
from apikeys.refusals import ALLOWED, Verdict, method_not_allowed
from apikeys.verdict import Call, judge
from portal.lib.address import Address

# Nobody here knows the secret, and the verdict looks at no more of it than its form.
_STAND_IN = "vbk_" + 24 * "0"


def try_call(
    key: ApiKey, *, address: Address | None, method: str, path: str, wants_stream: bool
) -> Verdict:
    """The verdict on such a call with the key's newest secret, as things are in Postgres now.

    Nothing is counted: neither against the limit, which it leaves out, nor as a use.
    """
    if is_open(path) and not wants_stream:
        return ALLOWED if method in OPENAPI.methods else method_not_allowed(OPENAPI)
    call = Call(
        keys=[_STAND_IN],
        address=address,
        method=method,
        path=path.encode("utf-8", "surrogatepass"),
        wants_stream=wants_stream,
    )
    return judge(call, record_of(key))


def is_open(path: str) -> bool:
    """Whether the machine door answers it to everybody, before it looks at any key."""
    return path == OPENAPI.template


def record_of(key: ApiKey) -> Held | None:
    """What the machine door would read about the key's newest secret; None if it has none."""
    newest = key.secrets.order_by(F("retired_at").desc(nulls_first=True))
    sha = newest.values_list("sha256", flat=True).first()
    if sha is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(LOOKUP, [[bytes(sha)]])
        found = cursor.fetchone()
    return parse_row(found).record()
