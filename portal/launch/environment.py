"""The environment that Django gets, and where the launcher's own settings come from."""

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from portal.embedded_postgres import Server
from portal.embedded_postgres.server import APPLICATION, OWNER
from portal.launch.home import LaunchError, Secrets

ROOT = Path(__file__).resolve().parents[2]
DEVELOPMENT = "development"  # the PORTAL_ENV of all that is launched here
DEFAULT_PORT = 8000


@dataclass(frozen=True)
class Address:
    """Where the server listens, and how a browser on this machine says that."""

    host: str
    port: int

    @property
    def base_url(self) -> str:
        """What a browser on this machine is told."""
        return f"http://{_in_url(self._seen_from_here('localhost'))}:{self.port}"

    @property
    def reachable_host(self) -> str:
        """For a connection from this machine: a wildcard is no place to connect to."""
        return self._seen_from_here("::1" if ":" in self.host else "127.0.0.1")

    def _seen_from_here(self, name: str) -> str:
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return self.host
        return name if address.is_unspecified or address.is_loopback else self.host


def home_folder(caller: Path) -> Path:
    """PORTAL_HOME, relative to where the caller stands; else `.portal` in the clone."""
    return (caller / (os.environ.get("PORTAL_HOME") or ROOT / ".portal")).resolve()


def listen_address() -> Address:
    """HOST and PORT. Raises LaunchError if PORT is none."""
    return Address(os.environ.get("HOST") or "127.0.0.1", _port("PORT", DEFAULT_PORT))


def internal_address() -> Address | None:
    """INTERNAL_PORT, on this machine alone; None where there is to be no internal listener.

    Raises LaunchError if it is no port, or that of everybody.
    """
    if not os.environ.get("INTERNAL_PORT"):
        return None
    port = _port("INTERNAL_PORT", 0)
    if port == listen_address().port:
        raise LaunchError("INTERNAL_PORT is the same as PORT: it should be another one.")
    return Address("127.0.0.1", port)


def uses_own_postgres() -> bool:
    """Whether the embedded Postgres is wanted: no other one was named."""
    if os.environ.get("DATABASE_URL"):
        return False
    if os.environ.get("DATABASE_OWNER_URL"):
        raise LaunchError("DATABASE_OWNER_URL is set, and DATABASE_URL is not: set both or none.")
    return True


def django_environment(
    *, home: Path, secrets: Secrets, base_url: str, server: Server | None
) -> dict[str, str]:
    """What Django's processes get: the caller's environment, and what is missing in it.

    `server` is None where the caller named a database.
    """
    made = {
        "PORTAL_BASE_URL": base_url,
        "SECRET_KEY": secrets.secret_key,
        "FIELD_KEYS": secrets.field_keys,
    }
    if server:
        made["DATABASE_URL"] = server.url(APPLICATION)
        made["DATABASE_OWNER_URL"] = server.url(OWNER)
    # Empty is not given: `SECRET_KEY= bin/run` means the one that was drawn.
    given = {name: value for name, value in os.environ.items() if value or name not in made}
    return made | given | {"PORTAL_ENV": DEVELOPMENT, "PORTAL_HOME": str(home)}


def manage_command(python: str, arguments: list[str]) -> list[str]:
    """How one of Django's commands is started."""
    return [python, str(ROOT / "manage.py"), *arguments]


def _port(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535):
        raise LaunchError(f"{name}={text} is not a port: it should be a number from 1 to 65535.")
    return int(text)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
