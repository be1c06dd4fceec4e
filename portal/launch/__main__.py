"""python -m portal.launch run|manage|test|bench FOLDER [arguments]: the folder is the caller's."""

import sys
from pathlib import Path

from portal.embedded_postgres import PostgresError
from portal.launch import bench, manage, run, suite
from portal.launch.home import LaunchError
from portal.launch.terminal import say

COMMANDS = {"run": run.main, "manage": manage.main, "test": suite.main, "bench": bench.main}


def main() -> int:
    """Run the command that bin/ asked for; its exit code."""
    name, caller, *arguments = sys.argv[1:]
    try:
        return COMMANDS[name](Path(caller), arguments)
    except (LaunchError, PostgresError) as error:
        say(f"bin/{name}: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
