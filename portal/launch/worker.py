"""The worker beside `bin/run`'s server: it sends queued mails and clears up."""

import signal
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from portal.launch.environment import ROOT, manage_command
from portal.launch.terminal import say
from portal.lib.processes import Pause, start, stop

PAUSE_SECONDS = 2  # so that one that cannot start is no storm of processes
STOP_SECONDS = 3


class Worker:
    """Runs while entered. Jobs lie in Postgres: nothing is lost when it ends.

    And end it does, with code 0, when Postgres crashes or restarts under it: procrastinate tries
    once to connect again, and has no option to try longer. So its end is not that of the others.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def __enter__(self) -> Self:
        self._process = self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        stop(self._process, (signal.SIGTERM, STOP_SECONDS))

    def restart_if_ended(self, pause: Pause) -> bool:
        """Whether it had ended. Each time that is said in a line, however often it happens."""
        code = self._process.poll()
        if code is None:
            return False
        say(f"The worker ended by itself (code {code}). It is started again.")
        pause(PAUSE_SECONDS)
        self._process = self._start()
        return True

    def _start(self) -> subprocess.Popen[bytes]:
        command = manage_command(sys.executable, ["procrastinate", "worker"])
        # Asked politely, it would wait for the Postgres that ends at the same moment.
        return start(command, env=self._environment, cwd=ROOT, farewell=signal.SIGKILL)
