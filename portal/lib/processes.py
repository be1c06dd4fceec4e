"""Child processes that do not outlive their parent, and waits that a signal ends.

Signals are noted when they come and raised only where somebody waits (`Signals.pause`), never
between two statements: no child is lost between its start and the variable that holds it.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

# Waits at most so many seconds; may return early, and raises `Stopped` when a signal came.
Pause = Callable[[float], None]
Stream = int | IO[bytes] | None

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class Stopped(Exception):
    """Somebody asked this process to end: Ctrl-C, SIGTERM, or a terminal that was closed."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


@dataclass(frozen=True)
class Account:
    """An account of the operating system that a child runs as."""

    name: str
    uid: int
    gid: int


class Signals:
    """While entered, SIGINT, SIGTERM and SIGHUP are noted, and `pause` raises each as `Stopped`.

    Cleaning up does not pause, so a second Ctrl-C does not leave it half done.
    """

    def __init__(self) -> None:
        self.received: set[int] = set()  # all that ever came
        self._pending: list[int] = []
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        # SIGCHLD is there for its wake-up alone: a child's end cuts a pause short.
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            if signum == signal.SIGHUP and signal.getsignal(signum) is signal.SIG_IGN:
                continue  # started with nohup
            self._before[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)  # type: ignore[arg-type] # what signal() gave
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._reader)
        os.close(self._writer)

    def pause(self, seconds: float) -> None:
        """Waits for a signal, a child's end, or `seconds`; see `Pause`."""
        self._raise()
        if select.select([self._reader], [], [], seconds)[0]:
            with suppress(BlockingIOError):
                os.read(self._reader, 4096)
        self._raise()

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if signum != signal.SIGCHLD:
            self.received.add(signum)
            self._pending.append(signum)

    def _raise(self) -> None:
        if self._pending:
            raise Stopped(self._pending.pop(0))


def start(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: Stream = subprocess.DEVNULL,
    stdout: Stream = None,
    stderr: Stream = None,
    account: Account | None = None,
    apart: bool = True,
    farewell: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Starts a child that gets `farewell` should this process die without a word (Linux).

    Apart: in a session of its own, out of reach of the terminal's Ctrl-C, so that its parent
    decides in which order things end. With an account (only root can): as that account.
    """
    return subprocess.Popen(  # noqa: S603 - the callers' commands are constants and own files
        [os.fspath(part) for part in command],
        env=dict(env),
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=apart,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        preexec_fn=_tie_to_us(farewell),  # noqa: PLW1509 - started before any thread
    )


def wait(child: subprocess.Popen[bytes], pause: Pause = time.sleep) -> int:
    """The child's exit code, once it ends."""
    while (code := child.poll()) is None:
        pause(0.05)
    return code


def run_in_foreground(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path,
    signals: Signals,
    stdout: Stream = None,
) -> int:
    """Runs a child that has the terminal, and gives its exit code as a shell does.

    Ctrl-C is the child's to understand (a prompt goes on after it). What was sent to this process
    alone is passed on, and raised as `Stopped` once the child has ended.
    """
    has_terminal = os.isatty(0)
    passed_on: Stopped | None = None
    child = start(command, env=env, cwd=cwd, stdin=None, stdout=stdout, apart=False)
    while child.poll() is None:
        try:
            signals.pause(60)
        except Stopped as stopped:
            if stopped.signum == signal.SIGINT and has_terminal:
                continue
            passed_on = stopped
            child.send_signal(stopped.signum)
    if passed_on:
        raise passed_on
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def stop(child: subprocess.Popen[bytes], *steps: tuple[signal.Signals, float]) -> None:
    """Ends a child: each step sends a signal and gives seconds to obey; SIGKILL comes last.

    What is left of the child's own process group goes with it.
    """
    for signum, seconds in steps:
        if child.poll() is not None:
            break
        child.send_signal(signum)
        with suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
    with suppress(ProcessLookupError, PermissionError):  # no such group: all are gone
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _tie_to_us(farewell: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, int(farewell))
        if os.getppid() != parent:  # it died before the line above
            os.kill(os.getpid(), signal.SIGKILL)

    return tie
