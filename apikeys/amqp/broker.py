"""RabbitMQ's management API: the few calls that provisioning needs, each with a bound in time."""

import base64
import hashlib
import http.client
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings

# A call takes milliseconds. A page waits for no more than this, and for a broker that is away once.
CALL_SECONDS = 3.0


class BrokerAway(Exception):
    """The broker could not be reached, or did not answer in time."""


class BrokerRefused(Exception):
    """The broker answered that it will not. `status` is HTTP's."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}".strip())
        self.status = status


def is_configured() -> bool:
    """Whether there is a broker at all."""
    return bool(settings.RABBITMQ_MANAGEMENT_URL)


@contextmanager
def broker(*, seconds: float = CALL_SECONDS) -> Iterator["Broker"]:
    """The configured broker, over one connection; BrokerAway where none is configured."""
    if not is_configured():
        raise BrokerAway("RABBITMQ_MANAGEMENT_URL is not set")
    opened = Broker(settings.RABBITMQ_MANAGEMENT_URL, seconds=seconds)
    try:
        yield opened
    finally:
        opened.close()


class Broker:
    """One connection to the management API. Paths are given in parts, and encoded here."""

    def __init__(self, url: str, *, seconds: float) -> None:
        """url: `http(s)://user:password@host:port`, both parts percent-encoded where needed.

        seconds: how long each wait for the broker may be.
        """
        parts = urlsplit(url)
        self.user = unquote(parts.username or "")
        password = unquote(parts.password or "")
        token = base64.b64encode(f"{self.user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        self._prefix = f"{parts.path.rstrip('/')}/api"
        kind = http.client.HTTPSConnection if parts.scheme == "https" else _PlainConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=seconds)

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def get(self, *path: str, columns: str = "") -> Any:
        """What is there, as JSON; of each row the columns named, if any are."""
        return self._ask("GET", path, query=f"?columns={columns}" if columns else "")

    def put(self, *path: str, body: dict[str, Any]) -> None:
        """Make it so. Again is fine."""
        self._ask("PUT", path, body=body)

    def delete(self, *path: str) -> None:
        """Take it away. What is not there is away."""
        try:
            self._ask("DELETE", path)
        except BrokerRefused as refused:
            if refused.status != http.client.NOT_FOUND:
                raise

    def _ask(self, method: str, path: tuple[str, ...], *, query: str = "", body: Any = None) -> Any:
        address = "/".join([self._prefix, *(quote(part, safe="") for part in path)]) + query
        sent = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, address, body=sent, headers=self._headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise BrokerAway(str(error) or type(error).__name__) from error
        if answer.status >= http.client.BAD_REQUEST:
            raise BrokerRefused(answer.status, _reason(content) or answer.reason)
        return json.loads(content) if content else None


_PlainConnection = http.client.HTTPConnection


def _reason(content: bytes) -> str:
    """The broker's own sentence, where it has one."""
    try:
        said = json.loads(content)
    except ValueError:
        return ""
    return str(said.get("reason", "")) if isinstance(said, dict) else ""


def password_hash(password: str) -> str:
    """The salted hash that RabbitMQ keeps (SHA-256): the password itself is never sent to it."""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
