"""The smallest HTTP client that keeps its connection: what is measured should be the server."""

import asyncio
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from benchmarks.stage import PASSWORD

LOGIN = "/client/login"


@dataclass
class Answer:
    """A status, the headers by their lower-case names, the body."""

    status: int
    headers: dict[str, str]
    body: bytes
    cookies: dict[str, str] = field(default_factory=dict)


class Connection:
    """One connection to the portal, opened anew when the server closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET."""
        return await self._exchange("GET", path, b"", headers or {})

    async def post(
        self, path: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Answer:
        """POST of a form."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self._exchange("POST", path, urlencode(form).encode(), kind | (headers or {}))

    async def close(self) -> None:
        """End it."""
        if self._streams:
            self._streams[1].close()
            self._streams = None

    async def _exchange(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        given = {"Host": f"localhost:{self._port}", "Content-Length": str(len(body)), **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {text}" for name, text in given.items())]
        request = "\r\n".join([*lines, "", ""]).encode() + body
        reader, writer = self._streams or await self._open()
        writer.write(request)
        return await self._read(reader)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        return self._streams

    async def _read(self, reader: asyncio.StreamReader) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        answer = Answer(int(head[0].split()[1]), {}, b"")
        for line in head[1:-2]:
            name, _, text = line.partition(": ")
            if name.lower() == "set-cookie":
                key, _, value = text.partition(";")[0].partition("=")
                answer.cookies[key] = value
            answer.headers[name.lower()] = text
        if "content-length" in answer.headers:
            answer.body = await reader.readexactly(int(answer.headers["content-length"]))
        elif answer.headers.get("transfer-encoding") == "chunked":
            while size := int((await reader.readline()).strip(), 16):
                answer.body += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        if answer.headers.get("connection", "").lower() == "close":
            await self.close()
        return answer


@dataclass(frozen=True)
class LoginForm:
    """The login page's token and cookie: what a POST needs to be more than a 403."""

    token: str
    cookies: dict[str, str]

    def filled(self, username: str, password: str) -> dict[str, str]:
        """What is sent."""
        return {"username": username, "password": password, "csrfmiddlewaretoken": self.token}

    @property
    def headers(self) -> dict[str, str]:
        """With what is sent."""
        return {"Cookie": cookie_header(self.cookies)}


async def login_form(connection: Connection) -> LoginForm:
    """Open the login page."""
    page = await connection.get(LOGIN)
    (token,) = re.findall(rb'name="csrfmiddlewaretoken" value="(\w+)"', page.body)[:1]
    return LoginForm(token.decode(), page.cookies)


async def signed_in(port: int, username: str) -> dict[str, str]:
    """The cookies of a browser that has signed in with PASSWORD."""
    connection = Connection(port)
    form = await login_form(connection)
    answer = await connection.post(LOGIN, form.filled(username, PASSWORD), form.headers)
    await connection.close()
    if answer.status != 302:
        raise SystemExit(f"{username} was not let in: {answer.status}")
    return form.cookies | answer.cookies


def cookie_header(cookies: Mapping[str, str]) -> str:
    """As browsers send them."""
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


async def ask_whoami(connection: Connection, key: str, status: int = 200) -> float:
    """Milliseconds that it took. SystemExit for another status."""
    began = time.perf_counter()
    answer = await connection.get("/v1/whoami", {"X-API-Key": key})
    if answer.status != status:
        raise SystemExit(f"{answer.status} instead of {status}: {answer.body!r}")
    return (time.perf_counter() - began) * 1000


def p99(found: Sequence[float]) -> float:
    """Ninety-nine of a hundred are not above it."""
    return sorted(found)[int(len(found) * 0.99)]


def spread(found: Sequence[float]) -> str:
    """Of milliseconds, as it is printed."""
    return (
        f"p50 {statistics.median(found):.2f}, p99 {p99(found):.2f}, worst {max(found):.1f} ms "
        f"(of {len(found):,})"
    )
