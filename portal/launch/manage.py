"""`bin/manage`: manage.py in bin/run's environment, on its database, whether that runs or not."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from portal.embedded_postgres import Server, embedded_postgres, running_server
from portal.launch.environment import (
    DEVELOPMENT,
    django_environment,
    home_folder,
    listen_address,
    manage_command,
    uses_own_postgres,
)
from portal.launch.home import Holder, Home, LaunchError
from portal.launch.terminal import say
from portal.lib.processes import Pause, Signals, Stopped, run_in_foreground


def main(caller: Path, arguments: list[str]) -> int:
    """The command's exit code, or no return: where nothing is to be ended, it replaces us."""
    if (os.environ.get("PORTAL_ENV") or DEVELOPMENT) != DEVELOPMENT:
        _become(arguments, caller, os.environ)
    home = Home(home_folder(caller))
    # The port of the server that runs, or ran last, is the one that links should have.
    base_url = os.environ.get("PORTAL_BASE_URL") or home.base_url or listen_address().base_url
    server = None
    with Signals() as signals:
        try:
            if uses_own_postgres():
                holder = Holder("bin/manage", os.getpid(), base_url)
                server = _server_to_share(home, holder, signals.pause)
                if server is None:
                    return _on_own_server(home, base_url, arguments, caller, signals)
        except Stopped as stopped:
            say(f"bin/manage: stopped by {stopped}.")
            return 128 + stopped.signum
        finally:
            home.unlock()
    environment = django_environment(
        home=home.folder, secrets=home.secrets(), base_url=base_url, server=server
    )
    return _become(arguments, caller, environment)


def _server_to_share(home: Home, holder: Holder, pause: Pause) -> Server | None:
    """bin/run's, once it is up; None: nobody is at work, and the lock is ours."""
    told = False
    while not home.try_lock(holder):
        other = home.holder()
        if other and other.ready:
            server = running_server(home.folder, home.secrets().postgres)
            if server is None:
                raise LaunchError(
                    f"{other.command} (process {other.pid}) uses another database than the one in "
                    f"{home.folder}. Set the DATABASE_URL that it has, or stop it."
                )
            return server
        if other and not told:
            say(f"Waiting for {other.command} (process {other.pid}) …")
            told = True
        pause(0.05)
    return None


def _on_own_server(
    home: Home, base_url: str, arguments: list[str], caller: Path, signals: Signals
) -> int:
    secrets = home.secrets()
    with embedded_postgres(
        home.folder, passwords=secrets.postgres, pause=signals.pause, tell=say
    ) as server:
        environment = django_environment(
            home=home.folder, secrets=secrets, base_url=base_url, server=server
        )
        if not server.is_migrated() and arguments[:1] != ["migrate"]:
            say("Preparing the new database …")
            code = run_in_foreground(
                manage_command(sys.executable, ["migrate", "--no-input", "--verbosity=0"]),
                env=environment,
                cwd=caller,
                signals=signals,
                stdout=2,
            )
            if code:
                return code
        command = manage_command(sys.executable, arguments)
        return run_in_foreground(command, env=environment, cwd=caller, signals=signals)


def _become(arguments: list[str], caller: Path, environment: Mapping[str, str]) -> NoReturn:
    os.chdir(caller)
    command = manage_command(sys.executable, arguments)
    os.execve(command[0], command, environment)  # noqa: S606 - no shell is meant
