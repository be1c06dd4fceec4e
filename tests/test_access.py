"""Who may do what: every route of the URL resolver, every method, every kind of person.

Security promises 28, 32, 33, 35 and 36. A route that is missing in the table of tests/access.py
fails the build, and so does a line of it without a route.
"""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection, transaction
from django.http import HttpResponseBase
from django.test import Client

from accounts.models import Tenant
from tests.access import LETTERS, PEOPLE, TABLE, World, routes
from tests.conftest import MakeKey, signed_in

OTHER_METHODS = ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "GETS"]
WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|TRUNCATE|CREATE|ALTER|DROP)\b", re.IGNORECASE)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@pytest.fixture
def world(acme: Tenant, globex: Tenant, make_key: MakeKey) -> World:
    """Somebody of each kind, and something of each kind."""
    key, _ = make_key(acme)
    key.refresh_from_db()
    return World(acme, globex, key)


@contextmanager
def undone() -> Iterator[list[str]]:
    """Lists the writes of a block, and undoes them."""
    writes: list[str] = []

    def watch(execute: Any, sql: str, *rest: Any) -> Any:
        if WRITES.match(sql):
            writes.append(sql)
        return execute(sql, *rest)

    with transaction.atomic(), connection.execute_wrapper(watch):
        yield writes
        transaction.set_rollback(True)


def letter(response: HttpResponseBase) -> str:
    """What the answer comes to, in the table's letters."""
    if response.status_code == 302:
        target = response.headers["Location"]
        if target.startswith("/client/login") and not target.startswith("/client/login/"):
            return ">"
        return "e" if target == "/staff/profile/2fa/enable" else "d"
    return LETTERS.get(response.status_code, str(response.status_code))


def headers_missing(response: HttpResponseBase) -> list[str]:
    """Names of the security headers that the answer lacks or weakens."""
    found = [name for name, value in HEADERS.items() if response.headers.get(name) != value]
    policy = response.headers.get("Content-Security-Policy", "")
    if "default-src 'none'" not in policy or "frame-ancestors 'none'" not in policy:
        found.append("Content-Security-Policy")
    if "unsafe" in policy or "*" in policy:
        found.append("Content-Security-Policy is weak")
    if "no-store" not in response.headers.get("Cache-Control", ""):
        found.append("Cache-Control")
    return found


def test_the_table_has_every_route_and_no_other() -> None:
    """A new route is decided upon before it is shipped."""
    found = list(routes())
    assert len(found) == len(set(found))
    assert set(found) == set(TABLE)


@pytest.mark.parametrize("person", PEOPLE)
def test_everybody_gets_what_the_table_says(world: World, person: str) -> None:
    """The page, the act, or a refusal that writes nothing; with all headers; GET never writes."""
    at = PEOPLE.index(person)
    client = world.browser(person)
    wrong = {}
    for route, (get, post) in TABLE.items():
        path, form = world.address(route), world.form(route)
        for method, expected in (("GET", get[at]), ("HEAD", get[at]), ("POST", post[at])):
            world.restore(client, person)
            with undone() as writes:
                response = client.generic(method, path) if method != "POST" else client.post(path, form)
            if person == "suspended":  # the session of somebody who is out ends at once
                writes = [sql for sql in writes if 'DELETE FROM "accounts_session"' not in sql]
            is_passive = method != "POST" or expected in "x?-e>"
            found = letter(response), [] if not is_passive else writes, headers_missing(response)
            if method == "POST" and route == "client/sign-out":
                found = found[0], [], found[2]
            if found != (expected, [], []):
                wrong[f"{method} /{route}"] = found
    assert wrong == {}


@pytest.mark.parametrize("person", ["anonymous", "owner", "staff"])
def test_no_route_takes_another_method(world: World, person: str) -> None:
    """405, never 200 and never 500: TRACE and made-up ones as well."""
    client = world.browser(person)
    wrong = {}
    for route in TABLE:
        path = world.address(route)
        for method in OTHER_METHODS:
            with undone() as writes:
                response = client.generic(method, path)
            if response.status_code != 405 or writes or headers_missing(response):
                wrong[f"{method} /{route}"] = response.status_code
    assert wrong == {}
