"""However many knock at once, those who are in have threads; promise 8, among a crowd."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from django.conf import settings

from accounts.known_browsers import write_known
from portal import asgi
from portal.lib.turnstile import Turnstile

FORM = (b"content-type", b"application/x-www-form-urlencoded")
PATIENCE = 0.05


async def _pass(turnstile: Turnstile, leave: asyncio.Event, seen: list[bool]) -> None:
    async with turnstile.turn() as is_ours:
        seen.append(is_ours)
        if is_ours:
            await leave.wait()


def test_so_many_at_once_and_then_in_the_order_of_coming() -> None:
    async def work() -> None:
        turnstile, leave = Turnstile(2, 5), [asyncio.Event() for _ in range(4)]
        seen: list[list[bool]] = [[] for _ in leave]
        tasks = [
            asyncio.create_task(_pass(turnstile, *each)) for each in zip(leave, seen, strict=True)
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert seen == [[True], [True], [], []]
        leave[1].set()
        await tasks[1]
        await asyncio.sleep(0)
        assert seen == [[True], [True], [True], []]
        for event in leave:
            event.set()
        await asyncio.gather(*tasks)
        assert seen == [[True]] * 4

    asyncio.run(work())


def test_nobody_waits_for_ever_and_the_place_is_not_lost_by_it() -> None:
    async def work() -> None:
        turnstile, leave = Turnstile(1, PATIENCE), asyncio.Event()
        seen: list[bool] = []
        first = asyncio.create_task(_pass(turnstile, leave, seen))
        await asyncio.sleep(0)
        await asyncio.gather(*(_pass(turnstile, leave, seen) for _ in range(3)))
        assert seen == [True, False, False, False]
        leave.set()
        await first
        await _pass(turnstile, leave, seen)
        assert seen[-1]

    asyncio.run(work())


async def _ask(path: str, method: str = "POST", cookie: str = "") -> tuple[int, dict[bytes, bytes]]:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def collect(message: Any) -> None:
        sent.append(message)

    cookies = [(b"cookie", cookie.encode())] if cookie else []
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost"), FORM, *cookies],
        "client": ("203.0.113.7", 4711),
        "server": ("localhost", 8000),
        "scheme": "http",
    }
    await asgi.application(scope, receive, collect)
    return sent[0]["status"], dict(sent[0]["headers"])


@pytest.fixture
def crowd(committed_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers have one place, and patience for a moment."""
    monkeypatch.setattr(asgi, "strangers", Turnstile(1, PATIENCE))


def _among_a_crowd(asking: Coroutine[Any, Any, Any]) -> Any:
    """What comes back while somebody else has the strangers' place."""

    async def work() -> Any:
        async with asgi.strangers.turn():
            return await asking

    return asyncio.run(work())


@pytest.mark.parametrize("path", ["/client/login", "/client/login/code", "/client/invite/abc"])
def test_a_stranger_among_many_is_told_to_come_back(crowd: None, path: str) -> None:
    status, headers = _among_a_crowd(_ask(path))
    assert status == 429
    assert headers[b"retry-after"] == b"5"
    assert b"content-security-policy" in headers
    assert asyncio.run(_ask(path))[0] == 403  # for its missing token: it was let through


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/client/login", "GET", 200), ("/client/", "GET", 302), ("/client/sign-out", "POST", 403)],
)
def test_whoever_does_not_knock_does_not_wait(
    crowd: None, path: str, method: str, status: int
) -> None:
    assert _among_a_crowd(_ask(path, method))[0] == status


def test_a_browser_that_has_signed_in_before_does_not_wait_among_strangers(crowd: None) -> None:
    """Promise 8. A cookie that we did not sign is a stranger's."""
    name = settings.KNOWN_BROWSER_COOKIE_NAME
    known = write_known({"somebody": "0123456789abcdef"})
    assert _among_a_crowd(_ask("/client/login", cookie=f"{name}={known}"))[0] == 403
    forged = f"{known[:-3]}{'AAA' if not known.endswith('AAA') else 'BBB'}"
    assert _among_a_crowd(_ask("/client/login", cookie=f"{name}={forged}"))[0] == 429


def test_its_cookie_is_not_looked_for_among_more_than_a_browser_sends(crowd: None) -> None:
    """It would take longer than many a call at the machine door, and anybody can send them."""
    known = write_known({"somebody": "0123456789abcdef"})
    cookie = f"{settings.KNOWN_BROWSER_COOKIE_NAME}={known}; {'a=b; ' * asgi.COOKIE_BYTES}"
    assert _among_a_crowd(_ask("/client/login", cookie=cookie))[0] == 429
