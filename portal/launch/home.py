"""PORTAL_HOME: the one folder with everything this machine's portal keeps, and who is at it."""

import base64
import fcntl
import json
import os
import secrets as random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from portal.embedded_postgres import ROLES


class LaunchError(Exception):
    """Something is in the way; the message is a sentence for the person at the terminal."""


@dataclass(frozen=True)
class Secrets:
    """Drawn once for each PORTAL_HOME. Losing them loses the database's second factors."""

    secret_key: str = field(repr=False)
    field_keys: str = field(repr=False)  # a Fernet key: 32 bytes, urlsafe base64
    postgres: dict[str, str] = field(repr=False)  # a password for each role


@dataclass(frozen=True)
class Holder:
    """Which command is at work on a PORTAL_HOME. Ready: others may use its database."""

    command: str
    pid: int
    base_url: str
    ready: bool = False


class Home:
    """One PORTAL_HOME. Raises LaunchError where the folder cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _make(folder)
        self._lock: int | None = None

    def try_lock(self, holder: Holder) -> bool:
        """Takes the lock, which lasts until `unlock` or this process's end, however it ends."""
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        self.announce(holder)
        return True

    def announce(self, holder: Holder) -> None:
        """Tells others who has the lock and how far it is. Only for who has it."""
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, json.dumps(asdict(holder)).encode(), 0)

    def holder(self) -> Holder | None:
        """Who had the lock last; whether somebody has it now, only `try_lock` tells."""
        found = _read_json(self.folder / "lock")
        try:
            return Holder(**found)
        except TypeError:  # nobody yet, or it is being written
            return None

    def unlock(self) -> None:
        """Let another start have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def secrets(self) -> Secrets:
        """Read from secrets.json; drawn and written there when there is none."""
        file = self.folder / "secrets.json"
        if not file.exists():
            drawn = json.dumps(asdict(_draw_secrets()), indent=2)
            with suppress(FileExistsError):  # another start was faster: its secrets count
                _write_private(file, drawn, os.link)
        try:
            return Secrets(**_read_json(file))
        except TypeError:
            raise LaunchError(
                f"{file} cannot be read. Restore it; or, to begin anew, remove {self.folder}."
            ) from None

    @property
    def base_url(self) -> str:
        """Where the portal was last reached under, or nothing before its first run."""
        return str(_read_json(self.folder / "run.json").get("base_url", ""))

    def remember_base_url(self, base_url: str) -> None:
        """Note where the portal runs, for `bin/manage`, whose links should lead there."""
        _write_private(self.folder / "run.json", json.dumps({"base_url": base_url}), os.replace)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise LaunchError(f"PORTAL_HOME {folder} cannot be made: {error.strerror}.") from None
    if found.st_uid not in (os.geteuid(), 0) and os.geteuid() != 0:
        raise LaunchError(f"PORTAL_HOME {folder} belongs to somebody else.")
    if found.st_mode & 0o022:
        raise LaunchError(f"PORTAL_HOME {folder} can be written by others; it should not be.")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise LaunchError(f"PORTAL_HOME {folder} cannot be written by this user.")


def _draw_secrets() -> Secrets:
    return Secrets(
        secret_key=random.token_urlsafe(48),
        field_keys=base64.urlsafe_b64encode(os.urandom(32)).decode(),
        postgres={role: random.token_urlsafe(24) for role in ROLES},
    )


def _read_json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write_private(file: Path, text: str, publish: Callable[[Path, Path], None]) -> None:
    """All of it or nothing, and never readable by others, not even for a moment."""
    draft = file.with_name(f"{file.name}.{random.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
            output.write(text)
            output.flush()
            os.fsync(output.fileno())
        publish(draft, file)
    finally:
        draft.unlink(missing_ok=True)
