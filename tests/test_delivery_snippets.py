"""Each program on the page Delivery credentials, copied from the page as it stands, and run.

REST and WebSocket against the sample feed behind the guard, AMQP against a real broker with TLS.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from html import unescape
from pathlib import Path
from typing import IO

import pytest
from django.conf import LazySettings
from django.test import Client

from accounts.models import Role, Tenant, User
from apikeys import snippets
from apikeys.amqp import steps
from apikeys.amqp.acts import access_of
from apikeys.amqp.broker import broker
from portal.launch.environment import ROOT
from tests.amqp import provision
from tests.browser.live import Portal, running_portal
from tests.browser.programs import need
from tests.conftest import MakeKey, make_member, signed_in
from tests.rabbit import Rabbit, rabbit, rabbit_server, until

__all__ = ["rabbit", "rabbit_server"]  # pytest finds the fixtures here
pytestmark = pytest.mark.service

NODE_MODULES = ROOT / "requirements" / "node" / "node_modules"
GO_SOURCES = Path("/usr/share/gocode")
RUN_SECONDS = 120  # a bound, not an expectation: a first `go run` compiles what it needs
PASSWORD = "a/b@c:d %2F#?&=\"'\\ пароль"


@pytest.fixture(scope="module")
def feed(django_db_setup: None) -> Iterator[Portal]:
    """The portal with the sample feed, as `bin/run` serves it."""
    with (
        tempfile.TemporaryDirectory(prefix="portal-snippets-") as home,
        running_portal(Path(home), EXAMPLE_FEED="1") as portal,
    ):
        yield portal


@pytest.fixture(scope="module")
def workshop() -> Iterator[Path]:
    """Where programs are put: with the packages that the page says they need beside them."""
    with tempfile.TemporaryDirectory(prefix="portal-snippets-") as folder:
        if NODE_MODULES.exists():
            (Path(folder) / "node_modules").symlink_to(NODE_MODULES)
        yield Path(folder)


def lacking(sentence: str) -> None:
    """Skipped with a sentence, or failed where all tools must be there."""
    if os.environ.get("PORTAL_REQUIRE_TOOLS") == "1":
        pytest.fail(sentence)
    pytest.skip(sentence)


def copied(client: Client, way: str, suffix: str) -> str:
    """The program, as its Copy button copies it."""
    page = client.get("/client/delivery").content.decode()
    (text,) = re.findall(rf'<code id="{way}-{suffix}">(.*?)</code>', page, re.DOTALL)
    return unescape(text)


class Program:
    """One that is running, and what it writes."""

    def __init__(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        self._process = process
        self._output = output

    @property
    def said(self) -> str:
        """All that it has written so far."""
        return os.pread(self._output.fileno(), 1_000_000, 0).decode()

    def says(self, *patterns: str) -> None:
        """Wait until each is somewhere in what it has written; fails when it ends without."""

        def is_said() -> bool:
            is_over = self._process.poll() is not None  # asked first: then all is written
            found = all(re.search(each, self.said) for each in patterns)
            assert found or not is_over, self.said
            return found

        until(is_said, RUN_SECONDS)


@contextmanager
def running(
    workshop: Path, way: str, suffix: str, text: str, environment: Mapping[str, str]
) -> Iterator[Program]:
    """The program, started with what is in `environment` until the block ends."""
    file = workshop / f"{way}.{suffix}"
    file.write_text(text + "\n")
    command = {
        "sh": lambda: [need("sh"), file] if need("curl") else [],
        "py": lambda: [sys.executable, file],
        "mjs": lambda: [need("node"), file],
        "go": lambda: [need("go"), "run", file],
    }[suffix]()
    if suffix == "mjs" and not NODE_MODULES.exists():
        lacking("Node's packages are not there: npm ci --prefix requirements/node")
    for package in re.findall(r'"(github\.com/[^"]+)"', text):
        if not (GO_SOURCES / "src" / package).exists():
            lacking(f"{package} is not there: install Debian's golang-github-…-dev for it.")
    whole = {"PATH": os.environ["PATH"], "HOME": str(workshop), **environment}
    whole |= {"GO111MODULE": "off", "GOPATH": str(GO_SOURCES), "GOCACHE": str(workshop / "go")}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, env=whole, cwd=workshop, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield Program(process, output)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.parametrize("suffix", snippets.REST)
def test_a_rest_program_gets_the_matches(
    committed_db: None,
    feed: Portal,
    workshop: Path,
    settings: LazySettings,
    acme: Tenant,
    make_key: MakeKey,
    suffix: str,
) -> None:
    """With a key that was made a moment before."""
    settings.FEED_BASE_URL = feed.url
    key, secret = make_key(acme)
    text = copied(signed_in(key.created_by), "rest", suffix)
    assert f"{feed.url}/cs2/v1/matches" in text and "TT_KEY" in text
    with running(workshop, "rest", suffix, text, {"TT_KEY": secret}) as program:
        program.says(r"match-\d+")


@pytest.mark.parametrize("suffix", snippets.WEBSOCKET)
def test_a_websocket_program_gets_a_snapshot_and_what_follows(
    committed_db: None,
    feed: Portal,
    workshop: Path,
    settings: LazySettings,
    acme: Tenant,
    make_key: MakeKey,
    suffix: str,
) -> None:
    settings.FEED_BASE_URL = feed.url
    key, secret = make_key(acme)
    text = copied(signed_in(key.created_by), "websocket", suffix)
    assert f"{feed.url.replace('http', 'ws', 1)}/cs2/v1/stream" in text
    with running(workshop, "websocket", suffix, text, {"TT_KEY": secret}) as program:
        program.says(r"snapshot .*seq\W+1\b", r"\w+ .*seq\W+2\b")


@pytest.mark.parametrize("suffix", snippets.AMQP)
def test_an_amqp_program_receives_what_is_published(
    rabbit: Rabbit, workshop: Path, acme: Tenant, alice: User, sam: User, suffix: str
) -> None:
    """Over TLS, with a password of characters that an address would have to encode."""
    provision(signed_in(sam, has_second_factor=True), acme)
    with broker() as asked:
        steps.set_password(asked, access_of(acme), PASSWORD)
    text = copied(signed_in(alice), "amqp", suffix)
    authority = str(rabbit.authority)
    environment = {
        "TT_AMQP_PASSWORD": PASSWORD,
        "SSL_CERT_FILE": authority,
        "NODE_EXTRA_CA_CERTS": authority,
    }
    with running(workshop, "amqp", suffix, text, environment) as program:
        program.says(r"bound amq\.gen-")
        assert rabbit.publish("acme", "cs2.matches.1", {"score": "16:14"})
        program.says(r'cs2\.matches\.1 \{"score": "16:14"\}')


def test_every_program_on_the_page_is_run_here() -> None:
    """A new one is run before it is shown."""
    ways = {"rest": snippets.REST, "websocket": snippets.WEBSOCKET, "amqp": snippets.AMQP}
    folder = ROOT / "templates" / "apikeys" / "snippets"
    assert {path.name for path in folder.iterdir()} == {
        f"{way}.{suffix}.txt" for way, languages in ways.items() for suffix in languages
    }


def test_a_key_that_is_refused_says_so_in_every_program(
    committed_db: None,
    feed: Portal,
    workshop: Path,
    settings: LazySettings,
    acme: Tenant,
) -> None:
    """Nobody is left with a silent program: the error or its code is on the screen."""
    settings.FEED_BASE_URL = feed.url
    client = signed_in(make_member(acme, "Dave", Role.DEVELOPER))
    for suffix in ("sh", "py"):
        text = copied(client, "rest", suffix)
        with running(workshop, "rest", suffix, text, {"TT_KEY": "vbk_" + "x" * 24}) as program:
            program.says(r"key_invalid|403")
