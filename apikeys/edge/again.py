"""The short way of a call that is like the one before it: same key, path, method, format, address.

The verdict on a call, and whoami's answer, depend on the call and on what is known of its key, and
on nothing else (`apikeys.verdict`). Where neither has changed they hold. What is new with each call
is done with each: whether announcements still arrive, the limit, the count, the id of the request.
Whatever is unusual goes the long way, and so does the first call of a key after a change to it.
"""

from dataclasses import dataclass
from functools import lru_cache

from apikeys.edge.answers import Headers, identity, lasting_headers
from apikeys.edge.calls import Scope
from apikeys.edge.directory import Directory
from apikeys.edge.held import Held
from apikeys.edge.limiter import Limiter, limit_of, quota_policy
from apikeys.edge.usage import Usage
from portal.lib.address import Address
from portal.lib.crypto import digest_of_bytes

LONGEST = 256  # bytes of a header's value that is worth remembering
MOST_HELD = 10_000  # different ones; the keys of a tenant mostly share one

Parts = tuple[int, Headers, bytes]  # of an answer: status, headers, body
# Of a call: path, method, peer, Accept, X-Forwarded-For.
Asked = tuple[bytes, str, str | None, bytes | None, bytes | None]


@dataclass(frozen=True, slots=True)
class LetIn:
    """A call that was let in, as it came in but for its key, and its answer.

    asked: all that the reading of a call (`apikeys.edge.calls`) looks at. address: what it read.
    limit: of the key's calls. headers: those of the answer that stay the same as long as the key's
    record does.
    """

    asked: Asked
    address: Address | None
    limit: int
    headers: Headers
    body: bytes


class Again:
    """Answers such calls out of memory, or leaves them to the long way."""

    def __init__(self, directory: Directory, limiter: Limiter, usage: Usage) -> None:
        self._ready = directory.ready
        self._take_now = limiter.take_now
        self._note = usage.note_again

    def answer(self, scope: Scope) -> Parts | None:
        """The answer to a call over HTTP that is let in; None: it has to go the long way.

        One long function, since it is the price of a call: to call a function costs as much as
        what most of them would do.
        """
        key = accept = forwarded_for = None
        for name, value in scope["headers"]:
            if name == b"x-api-key":
                if key is not None:
                    return None
                key = value
            elif name == b"accept":
                if accept is not None:
                    return None
                accept = value
            elif name == b"x-forwarded-for":
                if forwarded_for is not None:
                    return None
                forwarded_for = value
        record = self._ready(digest_of_bytes(key)) if key else None
        if record is None:
            return None
        before: LetIn | None = record.before
        client = scope.get("client")
        peer = client[0] if client else None
        asked = (scope["raw_path"], scope["method"], peer, accept, forwarded_for)
        if before is None or before.asked != asked:
            return None
        quota = self._take_now(record, before.limit)
        if quota is None or quota.left < 0:
            return None
        self._note(record)
        return 200, [*before.headers, identity(), quota.header], before.body


def remember(
    record: Held, scope: Scope, address: Address | None, content_type: bytes, body: bytes
) -> None:
    """A call over HTTP was let in and answered with this body; the next may be like it.

    address: the caller's, as the call was read.
    """
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in (b"accept", b"x-forwarded-for"):
            if name in found or len(value) > LONGEST:
                return
            found[name] = value
    client = scope.get("client")
    asked = (
        scope["raw_path"],
        scope["method"],
        client[0] if client else None,
        found.get(b"accept"),
        found.get(b"x-forwarded-for"),
    )
    record.before = _let_in(_one(asked), address, limit_of(record), content_type, body)


# There are many keys, and the less memory there is to go to, the quicker: so what is equal is one.


@lru_cache(maxsize=MOST_HELD)
def _one(asked: Asked) -> Asked:
    return asked


@lru_cache(maxsize=MOST_HELD)
def _let_in(
    asked: Asked, address: Address | None, limit: int, content_type: bytes, body: bytes
) -> LetIn:
    headers = _headers(len(body), content_type, limit)
    return LetIn(asked, address, limit, headers, b"" if asked[1] == "HEAD" else body)


@lru_cache(maxsize=MOST_HELD)
def _headers(length: int, content_type: bytes, limit: int) -> Headers:
    return (*lasting_headers(length, content_type), quota_policy(limit))
