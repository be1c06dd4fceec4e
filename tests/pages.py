"""Reading a page as a person does: its text and its forms; and the codes that an app would show."""

import datetime as dt
import hmac
import re
import struct
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db import connection
from django.test import Client

from accounts.models import Authenticator, User
from portal.lib import clock
from tests.conftest import PASSWORD

STEP = dt.timedelta(seconds=30)


class Page(HTMLParser):
    """What an answer shows: words, links, and fields with what they hold."""

    def __init__(self, response: Any) -> None:
        super().__init__()
        self.html = response.content.decode()
        self.lang = ""
        self.links: list[str] = []
        self.fields: dict[str, str] = {}
        self.checked: dict[str, list[str]] = {}
        self._words: list[str] = []
        self._textarea = ""
        self.feed(self.html)
        self.text = " ".join(" ".join(self._words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag == "html":
            self.lang = given.get("lang", "")
        elif tag == "a":
            self.links.append(given.get("href", ""))
        elif tag == "textarea":
            self._textarea = name
            self.fields[name] = ""
        elif tag == "input" and given.get("type") in {"checkbox", "radio"}:
            if "checked" in given:
                self.checked.setdefault(name, []).append(given["value"])
        elif tag == "input" and name:
            self.fields[name] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._textarea = ""

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.fields[self._textarea] += data
        else:
            self._words.append(data)


def text(response: Any) -> str:
    """The page's words, with single spaces between them."""
    return Page(response).text


def everything_of(answer: Any, *hidden: str) -> tuple[Any, ...]:
    """Status, headers, cookies' names and body, without what differs each time and the hidden."""
    body = re.sub(r'(csrfmiddlewaretoken" value=")\w+', r"\1", answer.content.decode())
    for text in hidden:
        body = body.replace(text, "…")
    headers = {name: value for name, value in answer.headers.items() if name != "X-Request-Id"}
    return answer.status_code, sorted(headers.items()), sorted(answer.cookies), body


def at(moment: dt.datetime) -> None:
    """Move the clock there."""
    clock.move(moment - clock.now())


def sign_in(client: Client, typed: str, password: str = PASSWORD, **given: Any) -> Any:
    """Send the sign-in form."""
    form = {"username": typed, "password": password, **given}
    return client.post("/client/login", form)


def session_cookie(client: Client) -> str:
    """What the browser holds; an empty string without a session."""
    morsel = client.cookies.get(settings.SESSION_COOKIE_NAME)
    return morsel.value if morsel else ""


def with_cookie(cookie: str) -> Client:
    """A browser into which somebody copied a session cookie."""
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = cookie
    return client


def is_signed_in(client: Client, page: str = "/client/profile") -> bool:
    """Does a page that needs a session open?"""
    return client.get(page).status_code == 200


def code_of(device: Authenticator, steps: int = 0) -> str:
    """The code that the app shows so many steps from now (RFC 6238, written out again)."""
    counter = int(clock.now().timestamp()) // 30 + steps
    mac = hmac.digest(device.secret, struct.pack(">Q", counter), "sha1")
    (number,) = struct.unpack_from(">I", mac, mac[-1] & 15)
    return f"{(number & 0x7FFFFFFF) % 1_000_000:06d}"


def wrong_code(device: Authenticator) -> str:
    """Six digits that are no code of the device for minutes around now."""
    right = {code_of(device, steps) for steps in range(-20, 21)}
    return next(code for number in range(100) if (code := f"{number:06d}") not in right)


def mid_step() -> None:
    """Into the middle of a step, so that the step does not end under the test's hands."""
    clock.move(dt.timedelta(seconds=15 - clock.now().timestamp() % 30))


def next_step(steps: int = 1) -> None:
    """So many codes later."""
    clock.move(STEP * steps)


class CountingHasher(MD5PasswordHasher):
    """A cheap hasher that counts: for whether, and how often, something was hashed."""

    count = 0

    def encode(self, password: str, salt: str) -> str:
        type(self).count += 1
        return super().encode(password, salt)


COUNTING = f"{CountingHasher.__module__}.{CountingHasher.__qualname__}"


def hashes_during(act: Any) -> int:
    """How many hashes the act cost, where COUNTING is the setting's hasher."""
    before = CountingHasher.count
    act()
    return CountingHasher.count - before


def holds(user: User, password: str) -> bool:
    """Is it the user's password, as the database has it now?"""
    return User.objects.get(pk=user.pk).check_password(password)


def rows_as_text(tables: Sequence[str]) -> str:
    """Every row of the tables, as a dump would have it."""
    with connection.cursor() as cursor:
        found = []
        for table in tables:
            cursor.execute(f"SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t")
            found.append(cursor.fetchone()[0])
    return "\n".join(found)


def whole_dump() -> str:
    """Every row of every table, the queue's too."""
    return rows_as_text(connection.introspection.table_names())
