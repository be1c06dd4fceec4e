"""What a page costs, signed in, against an empty Django view on the same server, by CPU.

    .venv/bin/python -m benchmarks.pages [--rounds 5] [--seconds 3]

Both are WSGI on Granian, as in production; the portal's pages have all their middleware. Login is
asked by a stranger. Beside that: how many queries a page asks, and how much it weighs.
"""

import argparse
import asyncio
import gzip
import json
import re
import statistics
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.client import Answer, Connection, cookie_header, signed_in
from benchmarks.rig import Rig, Served, granian, manage, rig, served
from benchmarks.stage import PASSWORD, PEOPLE, machine, say

EMPTY = "benchmarks.peers.empty_page:application"
LOGIN = "/client/login"
MARKETS = "/client/markets"
# Page → how many times an empty view's CPU it may take (docs/benchmarks.md).
PAGES = {
    LOGIN: 2,
    "/client/": 7,
    "/client/api-access": 7,
    "/client/team": 7,
    MARKETS: 12,
}
MANY_TYPES = 500
MANY_TYPES_BAR = 50
MOST_QUERIES = 8
LOGIN_REQUESTS, LOGIN_KB = 5, 40
MARKETS_KB = 10

_MORE_KEYS = """
import uuid
from accounts.models import Tenant, User
from accounts.origin import COMMAND_LINE
from apikeys.services import create_key
tenant = Tenant.objects.get(slug="globex")
for n in range(19):
    create_key(tenant=tenant, actor=User.objects.get(username="Alice"), origin=COMMAND_LINE,
               nonce=uuid.uuid4(), label=f"Key {n}", allowlist=[], scopes=tenant.contract.scopes)
"""
_QUERIES = """
import json
from pathlib import Path
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
counted = {}
for path, cookies in %(asked)r:
    client = Client(HTTP_HOST="localhost", HTTP_COOKIE=cookies)
    client.get(path)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(path).status_code == 200, path
    counted[path] = len(queries)
Path(%(answer)r).write_text(json.dumps(counted))
"""


def main() -> None:
    """Each page in turn with the empty view."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    given = parser.parse_args()
    say(machine())
    with rig(keys=10, tenants=1) as made, ExitStack() as stack:
        manage(made, "collectstatic", "--no-input", "-v0")
        manage(made, "compile_translations")
        manage(made, "shell", "-v0", "-c", PEOPLE % {"password": PASSWORD})
        manage(made, "shell", "-v0", "-c", _MORE_KEYS)
        pages = stack.enter_context(
            served(made, "pages", granian("portal.wsgi:application", "wsgi"))
        )
        peer = stack.enter_context(served(made, "peer", granian(EMPTY, "wsgi")))
        nobody = _one(made, "nobody", "a=b")
        alice = _one(made, "alice", cookie_header(asyncio.run(signed_in(pages.port, "Alice"))))
        empty = peer.asked("empty view", "/empty", "Cookie", nobody)
        load = Load(pages, empty, given.rounds, given.seconds)
        manage(made, "load_market_types", str(_catalogue(made, 0)))
        for path, bar in PAGES.items():
            load.compare(path, bar, nobody if path == LOGIN else alice)
        _say_queries(made, alice)
        _say_weights(pages, alice)
        manage(made, "load_market_types", str(_catalogue(made, MANY_TYPES)))
        say(f"with {MANY_TYPES} market types:")
        load.compare(MARKETS, MANY_TYPES_BAR, alice)
        _say_queries(made, alice, [MARKETS])


@dataclass(frozen=True)
class Load:
    """The portal's pages and the empty view, asked in turn."""

    pages: Served
    empty: Served
    rounds: int
    seconds: float

    def compare(self, path: str, bar: int, cookies: Path) -> None:
        """Say how many times the empty view's CPU the page takes, and what it weighs."""
        page = self.pages.asked(path.replace("/", "-"), path, "Cookie", cookies)
        every = [
            (page.measure(self.seconds), self.empty.measure(self.seconds))
            for _ in range(self.rounds)
        ]
        found = [a.cpu_us / b.cpu_us for a, b in every]
        answer = _get(self.pages, path, cookies)
        ours, theirs = (statistics.median(pair[i].cpu_us for pair in every) for i in (0, 1))
        say(
            f"{path}: {statistics.median(found):.1f} times an empty view ({min(found):.1f} to "
            f"{max(found):.1f}; bar {bar}); {ours:.0f} against {theirs:.0f} µs; "
            f"{len(_text(answer)) / 1000:.0f} kB, {_compressed_kb(answer):.1f} kB compressed"
        )


def _say_queries(made: Rig, alice: Path, paths: Iterable[str] = PAGES) -> None:
    """Counted in a process of its own, on the second look: what is read once a process is read."""
    answer = made.folder / "queries"
    asked = [(path, "" if path == LOGIN else alice.read_text().strip()) for path in paths]
    manage(made, "shell", "-v0", "-c", _QUERIES % {"asked": asked, "answer": str(answer)})
    counted = json.loads(answer.read_text())
    said = ", ".join(f"{path} {number}" for path, number in counted.items())
    say(f"queries (bar {MOST_QUERIES}): {said}")


def _say_weights(pages: Served, alice: Path) -> None:
    """What a browser that has nothing yet has to fetch for Login; and Markets, once compressed."""
    login = _get(pages, LOGIN)
    named = re.findall(rb'<(?:link|script|img)\b[^>]* (?:href|src)="([^"]+)"', login.body)
    parts = [_get(pages, each.decode()) for each in named]
    if any(re.search(rb"@import|url\(|\bimport\b", _text(part)) for part in parts):
        raise SystemExit("a stylesheet or a script names more to fetch: count that as well")
    kilobytes = sum(len(each.body) for each in (login, *parts)) / 1000
    say(
        f"{LOGIN} with all it needs: {1 + len(parts)} requests (bar {LOGIN_REQUESTS}), "
        f"{kilobytes:.1f} kB (bar {LOGIN_KB})"
    )
    markets = _compressed_kb(_get(pages, MARKETS, alice))
    say(f"{MARKETS}: {markets:.1f} kB compressed (bar {MARKETS_KB})")


def _get(pages: Served, path: str, cookies: Path | None = None) -> Answer:
    """As browsers ask: what lies there compressed comes so."""
    headers = {"Accept-Encoding": "gzip"}
    if cookies:
        headers["Cookie"] = cookies.read_text().strip()
    return asyncio.run(Connection(pages.port).get(path, headers))


def _text(answer: Answer) -> bytes:
    is_compressed = answer.headers.get("content-encoding") == "gzip"
    return gzip.decompress(answer.body) if is_compressed else answer.body


def _compressed_kb(page: Answer) -> float:
    """As a proxy before the portal compresses it."""
    return len(gzip.compress(_text(page))) / 1000


def _one(made: Rig, name: str, value: str) -> Path:
    path = made.folder / name
    path.write_text(f"{value}\n")
    return path


def _catalogue(made: Rig, at_least: int) -> Path:
    """The project's own catalogue, filled up with made-up types to so many."""
    source = Path(__file__).parent.parent / "markets" / "data" / "market_types.json"
    catalogue = json.loads(source.read_text("utf-8"))
    types = catalogue["market_types"]
    for number in range(len(types), at_least):
        made_up = {"code": f"made_up_{number}", "name_en": f"Made up {number}"}
        types.append({**types[number % 58], **made_up, "name_ru": f"Выдуманный {number}"})
    path = made.folder / f"catalogue-{at_least}.json"
    path.write_text(json.dumps(catalogue), "utf-8")
    return path


if __name__ == "__main__":
    main()
