"""The outside programs of these tests: a real curl, oathtool and zbarimg, and where Chromium is."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest

PACKAGES = {  # what Debian and Homebrew call them
    "chromium": "chromium",
    "curl": "curl",
    "oathtool": "oathtool (oath-toolkit)",
    "zbarimg": "zbar-tools (zbar)",
}
STEP_SECONDS = 30


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


def totp(secret: str, *, steps_from_now: int = 0) -> str:
    """The code that an authenticator app with this base 32 secret shows.

    A code is taken once. Where a test needs several it uses the neighbouring steps, which are
    accepted too as long as each is newer than the last, and does not wait for the next one.
    """
    when = f"now + {steps_from_now * STEP_SECONDS} seconds"
    return run("oathtool", "--totp", "--base32", "--now", when, secret.replace(" ", "")).strip()


def read_qr(png: bytes) -> str:
    """What a phone's camera reads in the picture."""
    return run("zbarimg", "--quiet", "--raw", "-", given=png).strip()


def run(program: str, *arguments: str, given: bytes | None = None) -> str:
    """Runs it and gives its standard output; a failure is the test's."""
    done = subprocess.run([need(program), *arguments], input=given, capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()
