"""A rotation that is interrupted anywhere leaves the old secret or the new one, never both.

Security promise 40: the process is killed between two statements, or its database connection is.
"""

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import Client

from accounts.models import Action, AuditEvent, FormNonce, Tenant
from apikeys.models import ApiKey, ApiKeySecret
from portal.launch.environment import ROOT
from portal.lib.crypto import digest
from tests.conftest import MakeKey, signed_in
from tests.pages import session_cookie

pytestmark = [pytest.mark.service, pytest.mark.usefixtures("committed_db")]

Order = Callable[..., dict[str, Any]]


@pytest.fixture
def key(committed_db: None, acme: Tenant, make_key: MakeKey) -> ApiKey:
    """A key, committed."""
    key, _ = make_key(acme)
    return ApiKey.objects.get(pk=key.pk)


@pytest.fixture
def order(key: ApiKey) -> Iterator[Order]:
    """Sends **Rotate key** through a process that is killed at a step."""
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.rotating"],
        cwd=ROOT,
        env=os.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    cookie = session_cookie(signed_in(key.created_by))

    def send(**given: Any) -> dict[str, Any]:
        assert program.stdin and program.stdout
        path = f"/client/api-access/{key.pk}/rotate"
        line = {"cookie": cookie, "path": path, "form": {"version": version(key)}, **given}
        program.stdin.write(f"{json.dumps(line)}\n")
        program.stdin.flush()
        said: dict[str, Any] = json.loads(program.stdout.readline())
        return said

    with program:
        yield send
        assert program.stdin
        program.stdin.close()


def version(key: ApiKey) -> int:
    """The key's version now."""
    return ApiKey.objects.values_list("version", flat=True).get(pk=key.pk)


def live(key: ApiKey) -> list[str]:
    """The hashes of the key's live secrets."""
    secrets = ApiKeySecret.objects.filter(key=key, retired_at=None)
    return [bytes(secret.sha256).hex() for secret in secrets]


def rotations() -> int:
    """How many the audit trail knows of."""
    return AuditEvent.objects.filter(action=Action.API_KEY_ROTATED).count()


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_any_step_it_leaves_exactly_one_live_secret(
    key: ApiKey, order: Order, when: str
) -> None:
    """The old one and no record, or the new one and its record."""
    outcomes = []
    for step in count(1):
        earlier = live(key), rotations(), version(key)
        said = order(step=step, when=when)
        now = live(key), rotations(), version(key)
        is_done = now != earlier
        if is_done:
            assert now == (said["inserted"], earlier[1] + 1, earlier[2] + 1)
        outcomes.append(is_done)
        if not said["was_killed"]:
            assert (said["status"], set(said["shown"])) == (200, set(now[0]))
            break
    assert len(outcomes) > 10
    # Nothing until the commit, everything from it on.
    assert outcomes == sorted(outcomes)
    assert (outcomes[0], outcomes[-1]) == (False, True)


@pytest.mark.parametrize("act", ["rotate", "create"])
def test_a_connection_lost_at_any_step_is_a_503_and_nothing_is_done(key: ApiKey, act: str) -> None:
    """The page says so, and the same form can be sent again. No answer loses a live secret."""
    cookies = signed_in(key.created_by).cookies
    path = f"/client/api-access/{key.pk}/rotate" if act == "rotate" else "/client/api-access/new"
    form = {"version": 1, "label": "New", "scopes": key.scopes, "nonce": uuid.uuid4()}
    earlier = everything()
    for step in count(1):
        client = Client(raise_request_exception=False)
        client.cookies = cookies
        with connection.execute_wrapper(Cut(step)):
            answer = client.post(path, form)
        connection.close()
        if answer.status_code == 200:
            break
        assert answer.status_code == 503, f"step {step}"
        assert answer.headers["Retry-After"] == "5"
        assert "Not available for a moment" in answer.content.decode()
        assert everything() == earlier, f"step {step}"
    assert step > 10
    (secret,) = set(re.findall(r"vbk_[0-9A-Za-z]{24}", answer.content.decode()))
    newest = ApiKeySecret.objects.latest("pk")
    assert (bytes(newest.sha256), newest.retired_at) == (digest(secret), None)
    assert len(everything()[2]) == (1 if act == "rotate" else 2)


def everything() -> tuple[object, ...]:
    """What an act on keys changes: keys, records, live secrets, forms that were spent."""
    return (
        list(ApiKey.objects.order_by("pk").values_list("pk", "version")),
        list(AuditEvent.objects.order_by("pk").values_list("pk", flat=True)),
        list(ApiKeySecret.objects.filter(retired_at=None).order_by("pk").values_list("pk")),
        FormNonce.objects.count(),
    )


class Cut:
    """Cuts the connection off before the n-th statement that is to be sent over it."""

    def __init__(self, step: int) -> None:
        self._left = step

    def __call__(self, execute: Any, sql: str, *rest: Any) -> Any:
        self._left -= 1
        if self._left == 0:
            pid = connection.connection.info.backend_pid
            with psycopg.connect(os.environ["DATABASE_URL"]) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        return execute(sql, *rest)
