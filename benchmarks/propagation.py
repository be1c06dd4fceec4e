"""1,000 changes while listeners are frozen or killed and Postgres crashes or restarts.

    .venv/bin/python -m benchmarks.propagation [--changes 1000] [--doors 4]

It is the test of that (tests/test_propagation.py) in its longer version: it fails where a call met
the old state a second after a COMMIT, and prints how long the last process took to hear.
"""

import argparse
import os
import subprocess

from benchmarks.stage import ROOT, machine, say


def main() -> None:
    """SystemExit with the test's own code where it failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", default="1000")
    parser.add_argument("--doors", default="4")
    given = parser.parse_args()
    say(machine())
    longer = {"PROPAGATION_CHANGES": given.changes, "PROPAGATION_DOORS": given.doors}
    command = [str(ROOT / "bin" / "test"), "tests/test_propagation.py", "-s"]
    done = subprocess.run(command, env={**os.environ, **longer}, check=False)  # noqa: S603
    raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
