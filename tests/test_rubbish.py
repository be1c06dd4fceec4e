"""Rubbish: whatever is sent, the answer is a 4xx or something harmless, never a 500 or a traceback.

Security promise 45. The same through the bridge, byte for byte: tests/test_rubbish_bridge.py.
"""

from typing import Any
from urllib.parse import quote

import pytest
from django.conf import LazySettings
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Tenant
from tests.access import PEOPLE, TABLE, World, undone
from tests.conftest import PASSWORD, MakeKey

HARMLESS = {200, 302, 400, 403, 404, 405, 409, 413, 415, 429}
FORM = "application/x-www-form-urlencoded"
NASTY = [
    "a\x00b",
    "9" * 40,
    "x" * 100_000,
    "-\ufffd\u202e９%s{0}{{7*7}}<script>'\"\\../..",
]
BODIES = {
    "percent signs that mean nothing": (b"username=%zz&password=%", FORM),
    "bytes that are no UTF-8": (b"username=\xff\xfe&password=\xc3\x28&\x80=\x80", FORM),
    "escaped bytes that are no UTF-8": (b"username=%ff%fe&password=%ed%a0%80&label=%c3%28", FORM),
    "NUL in a name": (b"user%00name=a&\x00=b", FORM),
    "five thousand fields and more": (b"&".join(b"a%d=1" % n for n in range(5_500)), FORM),
    "the same field many times": (b"&".join([b"username=a"] * 900), FORM),
    "deep nesting": (b"a" + b"[b]" * 5_000 + b"=1", FORM),
    "a very long name": (b"a" * 900_000 + b"=1", FORM),
    "two megabytes": (b"username=" + b"a" * 2_000_000, FORM),
    "JSON": (b'{"username": {"$ne": 1}}', "application/json"),
    "XML": (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "text/xml"),
    "no type": (b"username=a", ""),
    "a type that is none": (b"username=a", "\x00;;;=" + "x" * 5_000),
    "multipart that is none": (b"--x\r\nrubbish", "multipart/form-data; boundary=x"),
    "multipart without a boundary": (b"--x--", "multipart/form-data"),
    "an empty boundary": (b"----", "multipart/form-data; boundary="),
    "a boundary that is no ASCII": (b"--x--", "multipart/form-data; boundary=\xff\x00"),
    "a part without an end": (
        b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\n' + b"a" * 5_000,
        "multipart/form-data; boundary=x",
    ),
    "parts whose headers are rubbish": (
        b'--x\r\nContent-Disposition: form-data; name="username"; filename="\x00\xff/../a"\r\n'
        b"Content-Transfer-Encoding: base64\r\nContent-Length: -1\r\n\r\n%%%\r\n--x\r\n\r\n--x--",
        "multipart/form-data; boundary=x",
    ),
    "many files": (
        b"".join(
            b'--x\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\na\r\n'
            for _ in range(200)
        )
        + b"--x--",
        "multipart/form-data; boundary=x",
    ),
    **{
        f"the charset {name}": (
            b"username=+AGE-&password=a&csrfmiddlewaretoken=a",
            f"{FORM}; {name}",
        )
        for name in (
            "charset=utf-7",
            "charset=utf-16",
            "charset=utf-32",
            "CharSet = 'UTF-7'",
            'charset="utf-16le"',
            "charset=utf-8; charset=utf-16",
            "charset=nosuch",
            "charset=idna",
            "charset=base64",
            "charset=rot13",
            "charset=" + "a" * 5_000,
        )
    },
    "a charset in another spelling": (b"a=+AGE-", f"{FORM}; charset*=utf-8''utf-16"),
    "multipart with a charset": (
        b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\n+AGE-\r\n--x--',
        "multipart/form-data; boundary=x; charset=utf-7",
    ),
}
HEADERS = {
    "Host": ["evil.example", "a b", "[::1", "localhost:abc", "", "\x00", "х" * 300, "localhost,a"],
    "Content-Length": ["abc", "-1", "１２", "9" * 19, "9" * 5_000, "1.5", " ", "\x00"],
    "Cookie": ["\x00", "=;=;;", "portal_session", "\xff=\xfe", "a=" * 5_000, "portal_session=\x00"],
    "Accept": [";;;///", "*", "text/html;q=x", "\x00", "a/b," * 2_000],
    "Accept-Language": ["\x00", "x" * 5_000, "en;q=99999999", "-", "../../ru"],
    "User-Agent": ["\x00", "\xff", "x" * 50_000],
    "X-Forwarded-For": ["\x00", "rubbish", ",,,", "1.2.3.4, " * 2_000, "[::1", "1.2.3.4:99999"],
    "X-Forwarded-Proto": ["\x00", "gopher"],
    "Origin": ["null", "http://[", "\x00", "http://evil.example"],
    "Referer": ["http://[", "\x00", "x" * 50_000],
    "X-Requested-With": ["\x00"],
    "Range": ["bytes=9-1", "bytes=a-b", "\x00"],
    "If-Modified-Since": ["\x00", "Sat, 99 Abc 99999 99:99:99 GMT"],
    "If-None-Match": ["\x00", '"' * 500],
    "Transfer-Encoding": ["chunked", "\x00"],
    "Expect": ["100-continue", "\x00"],
}
NAMES = ["next", "tenant", "action", "actor", "since", "before", "q", "p", "o", "target_id"]
QUERIES = [
    "&".join(f"{name}={value}" for name in NAMES)
    for value in ("%00", "%ff\xff", "9" * 18, "9999-99-99", "-1.x.0001-01-01[//%5c")
]
OTHER_FORMS: dict[str, dict[str, Any]] = {
    "client/login": {"username": "Owner", "password": "x", "next": "/client/"},
}
COOKIES = ["portal_session", "portal_csrf", "portal_notice", "portal_known"]
SESSIONS = ["", "x", "\x00", "\xff\xfe", "a" * 32, "a" * 8_000, '"a\\000b"', "a:b:c", "[[1]]", "é"]


@pytest.fixture
def world(acme: Tenant, globex: Tenant, make_key: MakeKey) -> World:
    """Somebody of each kind, and something of each kind."""
    return World(acme, globex, make_key(acme)[0])


def check(answer: Any, what: object) -> None:
    """A status that tells of no mistake of ours, and no word of the inside."""
    assert answer.status_code in HARMLESS, what
    assert answer.streaming or b"Traceback" not in answer.content, what


def browser(world: World, person: str, *, checks: bool = True) -> Client:
    """With a CSRF cookie, as who has seen a form: with it Django's check reads the body itself."""
    client = world.browser(person, enforce_csrf_checks=checks)
    client.raise_request_exception = True
    client.cookies["portal_csrf"] = "a" * 32
    return client


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_rubbish_is_refused_or_harmless(world: World, name: str) -> None:
    """For strangers and for those who are in; with the check of the token and after it."""
    body, kind = BODIES[name]
    for person, path in (
        ("anonymous", "/client/login"),
        ("anonymous", world.address("client/invite/<str:token>")),
        ("owner", "/client/api-access/new"),
        ("owner", "/client/profile/password"),
        ("staff", "/staff/accounts/invitation/add/"),
    ):
        for checks in (True, False):
            with undone():
                client = browser(world, person, checks=checks)
                answer = client.generic("POST", path, body, content_type=kind)
            check(answer, (person, path, checks))
            if name.startswith("the charset"):
                assert answer.status_code == 415


@pytest.mark.parametrize("person", ["anonymous", "owner", "staff"])
def test_no_field_of_any_form_takes_rubbish_badly(world: World, person: str) -> None:
    """Each field of each form, one after the other; and fields that a form does not have."""
    client = world.browser(person)
    client.raise_request_exception = True
    for route, (_, post) in TABLE.items():
        path = world.address(route)
        form = world.form(route) or OTHER_FORMS.get(route, {"reason": "", "tenant": ""})
        if post[PEOPLE.index(person)] not in "od" and route not in OTHER_FORMS:
            continue
        wrong = [{**form, field: value} for field in form for value in NASTY[:2]]
        wrong += [dict.fromkeys(form, value) for value in NASTY[2:]]
        for typed in wrong:
            world.restore(client, person)
            with undone():
                check(client.post(path, typed), (path, str(typed)[:200]))


def test_no_code_is_anything_but_six_digits(world: World) -> None:
    """The second step takes rubbish for a wrong code."""
    client = Client()
    client.post("/client/login", {"username": "Sam", "password": PASSWORD})
    for code in [*NASTY, "１２３４５６", "٠١٢٣٤٥", "+12345", "123_45", "", " ", "1" * 64]:
        with undone():
            answer = client.post("/client/login/code", {"code": code})
        check(answer, code[:20])
        assert answer.status_code == 200


@pytest.mark.parametrize("person", ["anonymous", "owner", "staff"])
def test_paths_and_queries_that_are_rubbish_are_answered(world: World, person: str) -> None:
    """NUL, escapes that mean nothing, bytes that are no UTF-8, thousands of characters."""
    client = world.browser(person)
    client.raise_request_exception = True
    for route, (get, _) in TABLE.items():
        path = world.address(route)
        if get[PEOPLE.index(person)] != "o":
            continue
        for tail in ("%00", "/%2e%2e/%c0%ae%", "x" * 3_000):
            with undone():
                check(client.generic("GET", path + tail), path + tail[:20])
        for query in QUERIES:
            world.restore(client, person)
            with undone():
                check(client.generic("GET", f"{path}?{query}"), f"{path}?{query[:60]}")


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_are_rubbish_are_refused_or_read_as_nothing(
    world: World, settings: LazySettings, name: str
) -> None:
    """Behind one proxy, so that what it forwards is read at all."""
    settings.TRUSTED_PROXIES = 1
    variable = name.upper().replace("-", "_")
    key = variable if name == "Content-Length" else f"HTTP_{variable}"
    for value in HEADERS[name]:
        for person, path in (("anonymous", "/client/login"), ("owner", "/client/profile/password")):
            for method in ("GET", "POST"):
                given: dict[str, Any] = {key: value, "secure": name in {"Origin", "Referer"}}
                with undone():
                    client = browser(world, person)
                    answer = client.generic(method, path, b"a=b", content_type=FORM, **given)
                check(answer, (name, value[:20], path, method))


@pytest.mark.parametrize("name", COOKIES)
def test_cookies_that_are_rubbish_are_as_good_as_none(world: World, name: str) -> None:
    """A session that is none asks to sign in."""
    for value in SESSIONS:
        for path in ("/client/", "/client/login/code"):
            for method in ("GET", "POST"):
                with undone():
                    client = browser(world, "anonymous")
                    answer = client.generic(
                        method, path, content_type=FORM, HTTP_COOKIE=f"{name}={value}"
                    )
                check(answer, (name, value[:20], path, method))
                assert "/client/login" in answer.headers.get("Location", "/client/login")


def test_a_method_that_is_none_is_refused(world: World) -> None:
    """Whatever it is made of."""
    client = world.browser("owner")
    client.raise_request_exception = True
    for method in ("", " ", "GE T", "\x00", "é", "G" * 5_000, "GET\x00", "OPTIONS", "*"):
        answer = client.generic(method, "/client/")
        assert answer.status_code == 405, method


@given(
    typed=st.binary(max_size=60)
    | st.text(max_size=60).map(lambda t: t.encode("utf-8", "surrogatepass")),
    where=st.sampled_from(
        [
            ("anonymous", "/client/login", "username"),
            ("anonymous", "/client/login", "password"),
            ("anonymous", "/client/login", "next"),
            ("owner", "/client/api-access/new", "label"),
            ("owner", "/client/api-access/new", "allowlist"),
            ("owner", "/client/api-access/new", "nonce"),
            ("owner", "/client/api-access/new", "scopes"),
            ("owner", "/client/team/invite", "email"),
            ("owner", "/client/team/invite", "username"),
            ("staff", "/staff/accounts/invitation/add/", "email"),
            ("staff", "/staff/accounts/invitation/add/", "username"),
            ("staff", "/staff/accounts/invitation/add/", "tenant"),
            ("staff", "/staff/accounts/tenant/add/", "slug"),
        ]
    ),
    is_escaped=st.booleans(),
)
@settings(
    max_examples=100,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_bytes_may_be_typed(
    world: World, typed: bytes, where: tuple[str, str, str], *, is_escaped: bool
) -> None:
    """Escaped as a browser would, or raw."""
    person, path, field = where
    route = path.removeprefix("/")
    form = {**OTHER_FORMS.get(route, {}), **world.form(route)}
    others = "&".join(f"{n}={v}" for n, v in form.items() if n != field and isinstance(v, str))
    value = quote(typed).encode() if is_escaped else typed
    client = world.browser(person)
    client.raise_request_exception = True
    with undone():
        body = f"{others}&{field}=".encode() + value
        check(client.generic("POST", path, body, content_type=FORM), body)
