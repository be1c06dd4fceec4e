"""Several workers that could not count together do not start, whatever they would answer."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apikeys.edge.app import Door
from apikeys.edge.guard import Guard
from apikeys.edge.internal import Internal
from examples.feed.feed import Feed
from portal import asgi
from portal.launch.environment import ROOT
from portal.lib.processes import start, stop
from tests.door import run

SECONDS = 30  # a bound, not an expectation
SENTENCE = "2 workers, and REDIS_URL is not set"


@pytest.mark.parametrize(
    "make",
    [lambda: Door(is_alone=True), lambda: Guard(Feed()), Internal, lambda: asgi.application],
    ids=["the machine door", "a feed", "the internal listener", "the whole site"],
)
def test_each_of_them_refuses_to_start_and_says_why(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], Any]
) -> None:
    """Each worker would let in the whole limit."""
    monkeypatch.setenv("GRANIAN_WORKERS", "2")
    monkeypatch.delenv("REDIS_URL", raising=False)
    life = iter(["lifespan.startup", "lifespan.shutdown"])
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": next(life)}

    async def send(message: Any) -> None:
        sent.append(message)

    run(lambda: make()({"type": "lifespan"}, receive, send))
    (told,) = sent
    assert told["type"] == "lifespan.startup.failed" and SENTENCE in told["message"]


@pytest.mark.service
@pytest.mark.usefixtures("django_db_setup")
def test_a_server_of_the_whole_site_ends_and_says_why(tmp_path: Path) -> None:
    """Granian, as it is started by hand."""
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--port", "0"]
    command += ["--workers", "2", "portal.asgi:application"]
    told = tmp_path / "told"
    with told.open("wb") as output:
        server = start(command, env=os.environ, cwd=ROOT, stdout=output, stderr=output)
        try:
            assert server.wait(SECONDS) != 0
        finally:
            stop(server, (signal.SIGTERM, 10))
    assert SENTENCE in told.read_text()
