"""Where nginx is, and reading what came through it."""

import os
import shutil
from collections.abc import Iterable

import pytest

from tests.nginx.stage import Reply


def find_nginx() -> str:
    """The program. Skipped where it is not, unless PORTAL_REQUIRE_TOOLS=1 says that it must be."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(os.environ.get("NGINX") or "nginx", path=path)
    if found:
        return found
    sentence = "nginx is not there: install nginx-light (or nginx)."
    if os.environ.get("PORTAL_REQUIRE_TOOLS") == "1":
        pytest.fail(sentence)
    pytest.skip(sentence)


def received(reply: Reply) -> dict[str, str]:
    """The headers that the feed got with the call, each once."""
    assert reply.status == 200, reply
    return once(reply.told["headers"])


def once(lines: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by name, none of which came twice."""
    names = [name for name, _ in lines]
    assert len(names) == len(set(names)), lines
    return dict(lines)


def assert_unavailable(reply: Reply) -> None:
    """As the machine door says it."""
    assert reply.code == (503, "unavailable")
    assert reply.headers["retry-after"] == "1"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.told["request_id"] == reply.headers["x-request-id"]
