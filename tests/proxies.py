"""Questions about a call, as nginx, Traefik and Envoy put them to the internal listener."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from apikeys.edge.internal import Internal
from tests.door import Reply, code, opened, run

ASK = "/internal/authorize"
Line = tuple[str, str]
Question = dict[str, Any]  # what tests.door.call is given
Ask = Callable[..., Question]


def by_nginx(
    uri: str, *keys: str, method: str = "GET", headers: Sequence[Line] = (), caller: str = ""
) -> Question:
    """As the shipped configuration asks: the caller's headers, and two of its own."""
    return {
        "path": ASK,
        "headers": [
            ("x-original-uri", uri),
            ("x-original-method", method),
            *_forwarded(caller),
            *[("x-api-key", key) for key in keys],
            *headers,
        ],
        "peer": "10.0.0.1",
    }


def by_traefik(
    uri: str, *keys: str, method: str = "GET", headers: Sequence[Line] = (), caller: str = ""
) -> Question:
    """As ForwardAuth asks: the caller's headers, and some of its own."""
    return {
        "path": ASK,
        "headers": [
            *headers,
            *[("x-api-key", key) for key in keys],
            *_forwarded(caller),
            ("x-forwarded-host", "ticktock.bet"),
            ("x-forwarded-method", method),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-uri", uri),
            ("user-agent", "Go-http-client/1.1"),
        ],
        "peer": "10.0.0.1",
    }


def by_envoy(
    uri: str, *keys: str, method: str = "GET", headers: Sequence[Line] = (), caller: str = ""
) -> Question:
    """As ext_authz asks: path and method are the caller's, and lines of a header are one."""
    path, _, query = uri.partition("?")
    return {
        "path": ASK + path,
        "query": query,
        "method": method,
        "headers": [
            ("content-length", "0"),
            ("x-envoy-internal", "true"),
            *_forwarded(caller),
            *([("x-api-key", ",".join(keys))] if keys else []),
            *headers,
        ],
        "peer": "10.0.0.1",
    }


def _forwarded(caller: str) -> list[Line]:
    return [("x-forwarded-for", caller)] if caller else []


def answers(*questions: Question, proxies: int = 1) -> list[Reply]:
    """To one question after the other."""

    async def work() -> list[Reply]:
        async with opened(Internal(proxies=proxies)) as ask:  # type: ignore[arg-type]
            return [await ask(**question) for question in questions]

    return run(work)


def meant(reply: Reply) -> tuple[int, str]:
    """Status and code of a refusal, whichever way it is told."""
    said = reply.headers.get("x-auth-status")
    if said is None:
        return code(reply)
    assert reply.status == (int(said) if said in ("401", "403") else 403)
    assert json.loads(reply.body)["code"] == reply.headers["x-auth-code"]
    return int(said), reply.headers["x-auth-code"]
