"""The outside programs of these tests: a real curl, oathtool and zbarimg, and where Chromium is."""

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import Any

import pytest

PACKAGES = {  # what Debian and Homebrew call them
    "chromium": "chromium",
    "curl": "curl",
    "go": "golang-go (go)",
    "node": "nodejs (node)",
    "oathtool": "oathtool (oath-toolkit)",
    "zbarimg": "zbar-tools (zbar)",
}
STEP_SECONDS = 30
PATIENCE_SECONDS = 5


def need(program: str) -> str:
    """Where the program is: the variable of its name (CHROMIUM=…) or PATH says so.

    The test is skipped where there is none; PORTAL_REQUIRE_TOOLS=1 makes it fail instead.
    """
    found = shutil.which(os.environ.get(program.upper()) or program)
    if found:
        return found
    sentence = f"{program} is not there: install {PACKAGES[program]}."
    if os.environ.get("PORTAL_REQUIRE_TOOLS") == "1":
        pytest.fail(sentence)
    pytest.skip(sentence)


@dataclass(frozen=True)
class Answer:
    """What the feed's door answered: its status, and the body as JSON."""

    status: int
    body: dict[str, Any]


def curl_whoami(url: str, secret: str) -> Answer:
    """Calls `/v1/whoami` as the secret's page says."""
    command = ["--silent", "--show-error", "--header", f"X-API-Key: {secret}"]
    output = run("curl", *command, "--write-out", "\n%{http_code}", f"{url}/v1/whoami")
    body, _, status = output.rpartition("\n")
    return Answer(int(status), json.loads(body))


class Codes:
    """An authenticator app with a base 32 secret: each code is newer than the one before.

    A code is taken once, but its neighbours in time are accepted as well. So two codes can be had
    at any moment without waiting for the next one, if the first is the oldest that will do.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret.replace(" ", "")
        self._last_step = 0

    def fresh(self) -> str:
        """One that was not given before, and will be accepted for some seconds."""
        oldest = int((time.time() + PATIENCE_SECONDS) // STEP_SECONDS) - 1
        self._last_step = max(oldest, self._last_step + 1)
        return self._at(self._last_step)

    def wrong(self) -> str:
        """One that nothing could make right."""
        now = int(time.time() // STEP_SECONDS)
        right = {self._at(step) for step in range(now - 2, now + 3)}
        return next(code for code in ("135790", "246801", "112233") if code not in right)

    def _at(self, step: int) -> str:
        when = f"@{step * STEP_SECONDS}"
        return run("oathtool", "--totp", "--base32", "--now", when, self._secret).strip()


def read_qr(png: bytes) -> str:
    """What a phone's camera reads in the picture."""
    return run("zbarimg", "--quiet", "--raw", "-", given=png).strip()


def run(program: str, *arguments: str, given: bytes | None = None) -> str:
    """Runs it and gives its standard output; a failure is the test's."""
    done = subprocess.run([need(program), *arguments], input=given, capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()
