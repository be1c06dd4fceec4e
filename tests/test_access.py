"""Who may do what: every route of the URL resolver, every method, every kind of person.

Security promises 28, 32, 33, 35 and 36. A route that is missing in the table of tests/access.py
fails the build, and so does a line of it without a route.
"""

import re
import uuid
from contextlib import nullcontext
from itertools import cycle
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext

from accounts.models import Tenant
from tests.access import LETTERS, PEOPLE, TABLE, World, routes, undone
from tests.conftest import MakeKey

OTHER_METHODS = ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "GETS"]
# Counting tries is no act; neither is the end of a session whose person is out.
NO_ACT = re.compile(r'.* accounts_counter |DELETE FROM "accounts_session"', re.DOTALL)
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


def letter(response: HttpResponse) -> str:
    """What the answer comes to, in the table's letters."""
    if response.status_code == 302:
        target = response.headers["Location"]
        if target.startswith("/client/login") and not target.startswith("/client/login/"):
            return ">"
        return "e" if target == "/staff/profile/2fa/enable" else "d"
    return LETTERS.get(response.status_code, str(response.status_code))


def headers_missing(response: HttpResponse) -> list[str]:
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
    """The page, the act, or a refusal that writes nothing; with all headers; GET never writes.

    Methods that no page takes go round: each meets every route, and every kind of person.
    """
    client = world.browser(person)
    at = PEOPLE.index(person)
    wrong = {}
    for number, (route, (get, post)) in enumerate(TABLE.items()):
        path, form = world.address(route), world.form(route)
        methods = {"GET": get[at], "POST": post[at]}
        methods[OTHER_METHODS[(number + at) % len(OTHER_METHODS)]] = "-"
        if get[at] in "od":
            methods["HEAD"] = get[at]
        for method, expected in methods.items():
            world.restore(client, person)
            with undone() as writes:
                if method == "POST":
                    response = client.post(path, form)
                else:
                    response = client.generic(method, path)
            found = letter(response), headers_missing(response)
            if found != (expected, []):
                wrong[f"{method} /{route}"] = found
            may_write = method == "POST" and (expected in "od" or route == "client/sign-out")
            if not may_write and (unwanted := [sql for sql in writes if not NO_ACT.match(sql)]):
                wrong[f"{method} /{route} writes"] = unwanted
    assert wrong == {}


@pytest.mark.parametrize(
    ("person", "token"),
    [
        ("anonymous", {}),
        ("owner", {}),
        ("owner", {"csrfmiddlewaretoken": "x" * 64}),
        ("staff", {}),
    ],
)
def test_no_form_is_taken_without_its_token(
    world: World, person: str, token: dict[str, str]
) -> None:
    """403 on every route, and nothing is written; a made-up token is none."""
    client = world.browser(person, enforce_csrf_checks=True)
    wrong = {}
    for route in TABLE:
        path, form = world.address(route), world.form(route)
        world.restore(client, person)
        with undone() as writes:
            response = client.post(path, form | token)
        refusal = 405 if route in {"healthz", "readyz"} else 403
        if response.status_code != refusal or writes or headers_missing(response):
            wrong[f"/{route}"] = response.status_code, writes
    assert wrong == {}


def test_a_form_is_taken_with_its_token(world: World) -> None:
    """So that the test above refuses for the right reason."""
    client = world.browser("owner", enforce_csrf_checks=True)
    route = "client/api-access/<uuid:key_id>/rotate"
    page = client.get(world.address(route)).content.decode()
    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[-1]
    form = world.form(route) | {"csrfmiddlewaretoken": token}
    assert client.post(world.address(route), form).status_code == 200


@pytest.mark.parametrize("person", ["anonymous", "suspended"])
def test_a_script_without_a_session_gets_401(world: World, person: str) -> None:
    """Where a person would be sent to the login page."""
    client = world.browser(person)
    at = PEOPLE.index(person)
    headers = cycle([{"X-Requested-With": "XMLHttpRequest"}, {"Accept": "application/json"}])
    wrong = {}
    for route, (get, _) in TABLE.items():
        if get[at] == ">" and route not in {"client/login/code", "staff/login/"}:
            world.restore(client, person)
            with undone():
                response = client.get(world.address(route), headers=next(headers))
            if response.status_code != 401 or headers_missing(response):
                wrong[route] = response.status_code
    assert wrong == {}


def whole(response: HttpResponse, *ids: str) -> tuple[int, dict[str, str], list[str], str]:
    """All of an answer, without what is random in every one and without the ids asked for."""
    headers = {name: value for name, value in response.headers.items() if name != "X-Request-Id"}
    body = re.sub(r'(csrfmiddlewaretoken" value=")\w+', r"\1", response.content.decode())
    body = body.replace(response.headers["X-Request-Id"], "")
    for each in ids:
        body = body.replace(each, "")
    return response.status_code, headers, list(response.cookies), body


@pytest.mark.parametrize("method", ["get", "post"])
def test_what_is_another_tenants_is_as_unknown_as_what_never_was(world: World, method: str) -> None:
    """Byte for byte, and at the price of the same queries; another user's session likewise."""
    client = world.browser("stranger")
    tried = 0
    for route in TABLE:
        wanted = [name for name in world.ids if f"<uuid:{name}>" in route]
        if not wanted or route.startswith("staff/"):
            continue
        theirs, nobodys = str(world.ids[wanted[0]]), str(uuid.uuid4())
        path, answers = world.address(route), []
        for each in (theirs, nobodys):
            client.get("/client/")  # the same cookies before each
            with undone() as writes, CaptureQueriesContext(connection) as queries:
                response = getattr(client, method)(path.replace(theirs, each), world.form(route))
            assert [sql for sql in writes if not NO_ACT.match(sql)] == []
            answers.append((*whole(response, theirs, nobodys), len(queries)))
        assert answers[0] == answers[1], route
        assert answers[0][0] in ({404, 405} | ({302} if "session_id" in wanted else set())), route
        tried += 1
    assert tried >= 9


def test_switching_to_another_tenant_is_like_switching_to_none(world: World) -> None:
    """Nothing is said, and one stays where one is."""
    client = world.browser("stranger")
    answers = [
        whole(client.post("/client/switch-tenant", {"tenant": tenant}))
        for tenant in ("acme", str(world.acme.pk), "nosuch", str(uuid.uuid4()), "")
    ]
    assert all(answer == answers[0] for answer in answers)
    assert "Globex" in client.get("/client/").content.decode()


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        ({"path": "/client/nosuch"}, 404),
        ({"path": "/client/", "headers": {"Host": "evil.example"}}, 400),
        ({"path": "/client/", "secure": False, "headers": {"Host": "evil.example"}}, 400),
        ({"path": "/client/", "secure": False}, 301),
        ({"path": "/client/"}, 302),
        ({"path": "/client/\x00"}, 400),
        ({"path": "/static/nosuch.css"}, 404),
        ({"path": "/client/help"}, 200),
        ({"path": "/healthz", "secure": False}, 200),
        ({"path": "/client/login", "broken": True}, 500),
    ],
)
def test_every_answer_has_the_headers_errors_too(
    world: World, settings: LazySettings, ask: dict[str, Any], status: int
) -> None:
    """Under https, where HSTS is due: errors, redirects, and what is refused before any view."""
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_HSTS_SECONDS = 31_536_000
    settings.ALLOWED_HOSTS = ["testserver"]
    is_broken = ask.pop("broken", False)
    is_secure = ask.setdefault("secure", True)
    client = world.browser("owner" if is_broken else "anonymous")

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    with connection.execute_wrapper(fail) if is_broken else nullcontext():
        response = client.get(**ask)
    assert response.status_code == status
    assert headers_missing(response) == []
    assert ("Strict-Transport-Security" in response.headers) is is_secure
    assert "Traceback" not in response.content.decode()
