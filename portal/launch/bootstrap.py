"""Makes the clone's virtual environment `.venv` from a lock, then hands over to `portal.launch`.

Runs on a bare Python, so it imports the standard library alone. `.venv` holds what a lock in
requirements/ names once a stamp in it says so, and the stamp is written last: an installation that
was interrupted is not taken as done. The stamp also names the clone's folder and the Python,
because a virtual environment holds absolute paths and breaks when either changes.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "portal-stamp.json"
# Beside .venv and not in it: it outlives a rebuild. Not empty: an installation is under way, or
# was when its process died.
LOCK = ROOT / ".venv.lock"
INSTALLING = b"installing\n"
# Each lock holds all of those before it, so what serves to measure serves to test and to run.
LOCKS = ("app", "test", "bench")


class BootstrapError(Exception):
    """The virtual environment cannot be made; the message is a sentence for the person."""


def main() -> None:
    """Make .venv what the command needs, then become the command."""
    name, caller, *arguments = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        ensure_environment(name if name in LOCKS else "app")
    except BootstrapError as error:
        _leave(f"bin/{name}: {error}", 1)
    except PermissionError as error:
        _leave(f"bin/{name}: cannot write {error.filename} (whose is this clone?).", 1)
    except KeyboardInterrupt:
        _leave(f"bin/{name}: stopped.", 128 + signal.SIGINT)
    os.chdir(ROOT)
    os.execv(PYTHON, [str(PYTHON), "-m", "portal.launch", name, caller, *arguments])  # noqa: S606 - no shell is meant


def ensure_environment(needs: str) -> None:
    """Installs requirements/`needs`.txt, one of LOCKS, into .venv unless that is done already."""
    if VENV.is_symlink():
        # What is installed here would change, and what is made anew would empty, somebody else's.
        raise BootstrapError(
            f"{VENV} is a symbolic link, to {VENV.readlink()}. This clone keeps its own "
            "environment in that place: remove the link, and the next start makes one."
        )
    if _is_current(needs):
        return
    with _installation_lock() as lock:
        if _is_current(needs):
            return
        was_interrupted = bool(os.pread(lock, 1, 0))
        os.pwrite(lock, INSTALLING, 0)
        if was_interrupted or not _is_sound() or _stamp().get("root", str(ROOT)) != str(ROOT):
            _make(lock)
        STAMP.unlink(missing_ok=True)
        _install(needs, lock)
        os.ftruncate(lock, 0)


def _is_current(needs: str) -> bool:
    stamp = _stamp()
    accepted = [_expected(lock) for lock in LOCKS[LOCKS.index(needs) :]]
    return stamp in accepted and _is_sound()


def _stamp() -> dict[str, str]:
    try:
        found = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _expected(needs: str) -> dict[str, str]:
    lock = (ROOT / "requirements" / f"{needs}.txt").read_bytes()
    return {"root": str(ROOT), "lock": needs, "sha256": hashlib.sha256(lock).hexdigest()}


def _is_sound() -> bool:
    """Whether .venv's Python runs, is at home in .venv, and is the version that is asked for."""
    question = "import sys, pip; print(sys.prefix, *sys.version_info[:2], sep='\\n')"
    try:
        answer = subprocess.run(  # noqa: S603 - our own interpreter and a constant
            [PYTHON, "-I", "-c", question], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    prefix, major, minor = answer.stdout.splitlines()
    version = (int(major), int(minor))
    asked_for = sys.version_info[:2] if os.environ.get("PYTHON") else version
    return Path(prefix) == VENV and version >= (3, 11) and version == asked_for


@contextmanager
def _installation_lock() -> Iterator[int]:
    """Lets one start install while the others wait; the descriptor reads and writes `LOCK`."""
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("Waiting for another start of this clone, which is installing packages …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def _make(lock: int) -> None:
    if not all(importlib.util.find_spec(tool) for tool in ("ensurepip", "venv")):
        # Debian's python3 package leaves them out.
        raise BootstrapError(
            f"{sys.executable} cannot make virtual environments. On Debian and Ubuntu: "
            f"apt-get install python3.{sys.version_info.minor}-venv"
        )
    # A virtual environment made out of another one would break with it.
    base = getattr(sys, "_base_executable", sys.executable)
    _say(f"Making a virtual environment in {VENV} …")
    command = [base, "-I", "-m", "venv", "--clear", str(VENV)]
    _run(command, lock, "The virtual environment was not made; what Python says is above.")


def _install(needs: str, lock: int) -> None:
    _say(f"Installing requirements/{needs}.txt into it; this takes a minute, and only once …")
    pip = [str(PYTHON), "-I", "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check"]
    _run(
        [*pip, "install", "--require-hashes", "-r", str(ROOT / "requirements" / f"{needs}.txt")],
        lock,
        "The packages were not installed; what pip says is above. The next start tries again.",
    )
    draft = STAMP.with_suffix(".new")
    draft.write_text(json.dumps(_expected(needs)))
    draft.replace(STAMP)


def _run(command: list[str], lock: int, complaint: str) -> None:
    """Runs it with its output on standard error: standard output is the command's that follows.

    The child has the lock too: should it outlive us (`kill -9`), the next start waits for it.
    """
    done = subprocess.run(  # noqa: S603, PLW1510 - ours; its code is read below
        command, stdin=subprocess.DEVNULL, stdout=sys.stderr, pass_fds=[lock]
    )
    if done.returncode:
        raise BootstrapError(complaint)


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


def _leave(sentence: str, code: int) -> NoReturn:
    _say(sentence)
    sys.exit(code)


if __name__ == "__main__":
    main()
