"""What notes every secret that is typed or shown at a live portal, and looks for them later."""

import base64
import datetime as dt
import re
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import connection

from accounts.models import Authenticator, Session, User
from accounts.sessions import SessionStore
from portal.launch.environment import ROOT
from portal.lib import clock
from tests.browser.live import MailServer, Portal
from tests.pages import Page, code_of, wrong_code

TOKEN = r"/client/invite/([\w-]{43})"
SECRET_COOKIES = {
    settings.SESSION_COOKIE_NAME,
    settings.CSRF_COOKIE_NAME,
    settings.KNOWN_BROWSER_COOKIE_NAME,
}


@dataclass
class Secrets:
    """What must be found nowhere, by what it is. Codes of six digits are found by chance in any
    long text, so they are looked for as words of their own.
    """

    texts: dict[str, str] = field(default_factory=dict)  # the secret, and what it is
    codes: set[str] = field(default_factory=set)

    def add(self, what: str, *secrets: str) -> str:
        """Note them; the first, to be used."""
        self.texts |= {secret: what for secret in secrets if secret}
        return secrets[0]

    def found_in(self, text: str) -> set[str]:
        """What of them the text holds, in the clear or in one of the forms a log or dump has."""
        found = {
            f"{what} ({secret[:4]}…)"
            for secret, what in self.texts.items()
            if any(form in text for form in _forms(secret))
        }
        words = set(re.findall(r"(?<![\w.:+-])\d{6}(?![\w.:+-])", text))
        return found | {f"code {code}" for code in words & self.codes}


def _forms(secret: str) -> set[str]:
    raw = secret.encode()
    # Without the last three characters, whatever follows in what was encoded with it.
    encoded = base64.b64encode(raw).decode().rstrip("=")[:-3]
    return {secret, quote(secret, safe=""), quote(secret), raw.hex(), encoded}


@dataclass
class Answer:
    """What came back; `content` is what `tests.pages` reads."""

    status: int
    url: str
    content: bytes


class Browser:
    """Follows redirects, keeps cookies, fills forms in; its secrets are noted as it goes."""

    def __init__(self, url: str, secrets: Secrets) -> None:
        self._url, self._secrets, self._jar = url, secrets, CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar))

    def get(self, path: str, **headers: str) -> Answer:
        """Open a page."""
        return self._open(urllib.request.Request(self._at(path), headers=headers))

    def post(self, path: str, form: dict[str, Any] | None = None, *, on: str = "") -> Answer:
        """Send the form that is at `path` (or on the page `on`), filled in."""
        page = Page(self.get(on or path))
        fields = {**page.fields, **page.checked, **(form or {})}
        data = urlencode(fields, doseq=True).encode()
        return self._open(urllib.request.Request(self._at(path), data=data))

    def cookie(self, name: str) -> str:
        """Its value."""
        return next(str(cookie.value) for cookie in self._jar if cookie.name == name)

    def _at(self, path: str) -> str:
        return path if path.startswith("http") else self._url + path

    def _open(self, request: urllib.request.Request) -> Answer:
        try:
            response: HTTPResponse | HTTPError = self._opener.open(request, timeout=60)
        except HTTPError as refused:
            response = refused
        with response:
            answer = Answer(response.status or 0, response.url or "", response.read())
        for cookie in self._jar:
            if cookie.name in SECRET_COOKIES and cookie.value:
                self._secrets.add(f"the cookie {cookie.name}", cookie.value)
        tokens = re.findall(rb'name="csrfmiddlewaretoken" value="(\w+)"', answer.content)
        self._secrets.add("a form's token", "", *(token.decode() for token in tokens))
        return answer


def dump() -> str:
    """Every row of every table as text, bytes in hex; and what sessions hold, unpacked."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' "
            "AND has_table_privilege(format('%I.%I', schemaname, tablename), 'SELECT')"
        )
        texts = []
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT t::text FROM {table} t")
            texts += [f"{table} {row}" for (row,) in cursor.fetchall()]
    texts += [str(SessionStore().decode(row.data)) for row in Session.objects.all()]
    return "\n".join(texts)


@dataclass
class Flows:
    """The live portal, its mail server, and what was typed or shown so far."""

    portal: Portal
    inbox: MailServer
    secrets: Secrets = field(default_factory=Secrets)
    dumps: list[str] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    def browser(self) -> Browser:
        """Of somebody new."""
        return Browser(self.portal.url, self.secrets)

    def password(self, name: str) -> str:
        """One that says whose it is."""
        return self.secrets.add(f"password {name}", f"goldfinch-{name}-sings at night 7")

    def invited(self, sent: str = "") -> str:
        """The path of the newest mail's link, or of the one that was printed."""
        if not sent:
            mail = self.inbox.next_mail()
            self.mails.append(sent := _whole(mail))
        token = re.findall(TOKEN, sent)[0]
        self.tokens.append(self.secrets.add("an invitation's token", token))
        return f"/client/invite/{token}"

    def accept(self, browser: Browser, path: str, password: str) -> None:
        """Set the password; a bad one first."""
        bad = self.password("too different")
        browser.post(path, {"new_password": password, "confirm_password": bad})
        answer = browser.post(path, {"new_password": password, "confirm_password": password})
        assert answer.status == 200 and "/invite/" not in answer.url

    def enrol(self, browser: Browser, user: User, password: str, root: str) -> None:
        """Turn 2FA on, with a wrong code before the right one."""
        browser.post(f"{root}/2fa/enable", {"current_password": password})
        device = Authenticator.objects.get(user=user)
        secret = base64.b32encode(device.secret).decode()
        grouped = " ".join(secret[at : at + 4] for at in range(0, 32, 4))
        page = browser.get(f"{root}/2fa/confirm")
        assert grouped.encode() in page.content
        self.secrets.add("a TOTP secret", secret, grouped, device.secret.hex())
        self.secrets.add("a TOTP secret", base64.b64encode(device.secret).decode())
        browser.post(f"{root}/2fa/confirm", {"code": self.wrong(user)})
        shown = browser.post(f"{root}/2fa/confirm", {"code": self.code(user)})
        self.recovery(shown)

    def recovery(self, shown: Answer) -> list[str]:
        """The codes on the page."""
        codes = re.findall(r"\w{4}-\w{4}-\w{4}-\w{4}", shown.content.decode())
        assert len(set(codes)) == 10
        for code in codes:
            self.secrets.add("a recovery code", code, code.replace("-", ""))
        return codes

    def code(self, user: User) -> str:
        """A code that is taken now, whatever was taken before."""
        Authenticator.objects.filter(user=user).update(last_step=-1)
        code = code_of(Authenticator.objects.get(user=user))
        self.secrets.codes.add(code)
        return code

    def wrong(self, user: User) -> str:
        """A code that is not."""
        code = wrong_code(Authenticator.objects.get(user=user))
        self.secrets.codes.add(code)
        return code

    def sign_in(self, browser: Browser, typed: str, password: str) -> Answer:
        """The first step."""
        return browser.post("/client/login", {"username": typed, "password": password})

    def key_on(self, shown: Answer) -> str:
        """The API key on the page that shows it once."""
        (secret,) = set(re.findall(r"vbk_\w{24}", shown.content.decode()))
        return self.secrets.add("an API key", secret)

    def call(self, secret: str) -> list[int]:
        """With the key where it belongs, and in the places where people put it."""
        url, found = f"{self.portal.url}/v1/whoami", []
        for address, headers in [
            (url, {"X-API-Key": secret}),
            (f"{url}?api_key={secret}", {}),
            (url, {"Authorization": f"Bearer {secret}"}),
            (f"{self.portal.url}/v1/{secret}", {"X-API-Key": secret}),
            (f"{self.portal.url}/client/{secret}?key={secret}", {}),
        ]:
            request = urllib.request.Request(address, headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    found.append(answer.status)
            except HTTPError as refused:
                found.append(refused.code)
        return found

    def grow_old(self, browser: Browser) -> None:
        """The session's proof is more than ten minutes old."""
        session = SessionStore(browser.cookie(settings.SESSION_COOKIE_NAME))
        session["proved_at"] = (clock.now() - dt.timedelta(minutes=11)).isoformat()
        session.save()

    def work(self, log: Path) -> None:
        """What the worker does with all that waits. It is as loud as the server."""
        self.dumps.append(dump())
        command = [sys.executable, ROOT / "manage.py", "procrastinate", "worker", "--one-shot"]
        with log.open("wb") as output:
            done = subprocess.run(
                command, env=self.portal.environment, stdout=output, stderr=output, timeout=120
            )
        assert done.returncode == 0, log.read_text()
        while not self.inbox._received.empty():
            self.mails.append(_whole(self.inbox.next_mail()))
        self.dumps.append(dump())


def _whole(mail: EmailMessage) -> str:
    """Headers, text and HTML, decoded."""
    parts = [part for part in mail.walk() if not part.is_multipart()]
    contents = [str(part.get_content()) for part in parts if isinstance(part, EmailMessage)]
    return "\n".join([*map(str, mail.items()), *contents])
