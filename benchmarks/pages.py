"""What a page costs, signed in, against an empty Django view on the same server, by CPU.

    .venv/bin/python -m benchmarks.pages [--rounds 5] [--seconds 3]

Both are WSGI on Granian, as in production; the portal's pages have all their middleware.
"""

import argparse
import asyncio
import gzip
import json
import statistics
from contextlib import ExitStack
from pathlib import Path

from benchmarks.client import Connection, cookie_header, signed_in
from benchmarks.rig import Rig, Served, granian, manage, rig, served
from benchmarks.stage import PASSWORD, PEOPLE, machine, say

# Page → how many times an empty view's CPU it may take (docs/benchmarks.md).
PAGES = {
    "/client/login": 2,
    "/client/": 7,
    "/client/api-access": 7,
    "/client/team": 7,
    "/client/markets": 12,
}
MANY_TYPES = 500
MANY_TYPES_BAR = 50

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
        peer = stack.enter_context(
            served(made, "peer", granian("benchmarks.peers.empty_page:application", "wsgi"))
        )
        cookies = cookie_header(asyncio.run(signed_in(pages.port, "Alice")))
        empty = peer.asked("empty view", "/empty", "Cookie", _one(made, "empty", "a=b"))
        jar = _one(made, "cookies", cookies)
        catalogue = _catalogue(made, 0)
        manage(made, "load_market_types", str(catalogue))
        for path, bar in PAGES.items():
            _compare(pages, empty, path, bar, jar, given.rounds, given.seconds)
        manage(made, "load_market_types", str(_catalogue(made, MANY_TYPES)))
        say(f"with {MANY_TYPES} market types:")
        _compare(pages, empty, "/client/markets", MANY_TYPES_BAR, jar, given.rounds, given.seconds)


def _compare(
    pages: Served, empty: Served, path: str, bar: int, jar: Path, rounds: int, seconds: float
) -> None:
    page = pages.asked(path.replace("/", "-"), path, "Cookie", jar)
    pairs = [(page.measure(seconds), empty.measure(seconds)) for _ in range(rounds)]
    found = [a.cpu_us / b.cpu_us for a, b in pairs]
    body = asyncio.run(Connection(pages.port).get(path, {"Cookie": jar.read_text().strip()})).body
    ours, theirs = (statistics.median(m[i].cpu_us for m in pairs) for i in (0, 1))
    say(
        f"{path}: {statistics.median(found):.1f} times an empty view "
        f"({min(found):.1f} to {max(found):.1f}; bar {bar}); {ours:.0f} against {theirs:.0f} µs; "
        f"{len(body) / 1000:.0f} kB, {len(gzip.compress(body)) / 1000:.1f} kB compressed"
    )


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
