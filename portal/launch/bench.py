"""`bin/bench`: each benchmark in turn, in an environment without the caller's settings."""

import os
import sys
from pathlib import Path

from portal.launch.environment import ROOT
from portal.launch.home import LaunchError
from portal.launch.suite import NOT_FOR_TESTS
from portal.lib.processes import Signals, Stopped, run_in_foreground

# In benchmarks/; each says at its top what it compares.
BENCHMARKS = (
    "whoami",
    "shared_limit",
    "forward_auth",
    "changes",
    "propagation",
    "pages",
    "switched_feed",
    "login_flood",
    "login_timing",
    "directory_memory",
    "million_keys",
    "counts_behind",
)


def main(caller: Path, arguments: list[str]) -> int:
    """0 when all that were asked for ran to their end."""
    if unknown := set(arguments) - set(BENCHMARKS):
        raise LaunchError(f"does not know {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}.")
    kept = {name: value for name, value in os.environ.items() if name not in NOT_FOR_TESTS}
    with Signals() as signals:
        try:
            for name in arguments or BENCHMARKS:
                sys.stdout.write(f"\n== {name}\n")
                sys.stdout.flush()
                command = [sys.executable, "-m", f"benchmarks.{name}"]
                if code := run_in_foreground(command, env=kept, cwd=ROOT, signals=signals):
                    return code
        except Stopped as stopped:
            return 128 + stopped.signum
    return 0
