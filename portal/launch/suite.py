"""`bin/test`: everything that must hold, on a Postgres that is thrown away afterwards."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from portal.embedded_postgres import Server, embedded_postgres
from portal.launch.environment import (
    DEFAULT_PORT,
    ROOT,
    django_environment,
    uses_own_postgres,
)
from portal.launch.home import Home, Secrets
from portal.launch.terminal import say
from portal.lib.processes import Signals, Stopped, run_in_foreground

LINTERS = {
    "ruff check": ["-m", "ruff", "check"],
    "ruff format --check": ["-m", "ruff", "format", "--check"],
    "mypy": ["-m", "mypy"],
    "lint-imports": ["-c", "from importlinter.cli import lint_imports_command as main; main()"],
}
TRANSLATIONS = [str(ROOT / "manage.py"), "compile_translations"]
PYTEST = ["-m", "pytest", "-n", "auto"]
# What the person's own portal is set to is no business of the tests.
NOT_FOR_TESTS = (
    "AMQP_HOST",
    "AMQP_PORT",
    "AMQP_TLS_PORT",
    "EDGE_DIRECTORY_KEYS",
    "EDGE_FORWARD_AUTH_PROXIES",
    "EDGE_OUTAGE_GRACE_SECONDS",
    "EMAIL_URL",
    "EXAMPLE_FEED",
    "FEED_BASE_URL",
    "FIELD_KEYS",
    "HOST",
    "INTERNAL_PORT",
    "PORT",
    "PORTAL_BASE_URL",
    "PORTAL_CLOCK_OFFSET",
    "PROVIDER_EMAIL",
    "PROVIDER_NAME",
    "RABBITMQ_MANAGEMENT_URL",
    "RATELIMIT_ENABLE",
    "REDIS_URL",
    "SECRET_KEY",
    "TRUSTED_PROXIES",
)


def main(caller: Path, arguments: list[str]) -> int:
    """0 when all steps passed. With arguments, pytest is the only step, and gets them."""
    for name in NOT_FOR_TESTS:
        os.environ.pop(name, None)
    steps = {} if arguments else dict(LINTERS)
    steps["translations"] = TRANSLATIONS
    steps["pytest"] = [*PYTEST, *arguments]
    with (
        Signals() as signals,
        tempfile.TemporaryDirectory(prefix="portal-test-", ignore_cleanup_errors=True) as folder,
    ):
        try:
            home = Home(Path(folder).resolve())
            secrets = home.secrets()
            with _postgres(home, secrets, signals) as server:
                environment = django_environment(
                    home=home.folder,
                    secrets=secrets,
                    base_url=f"http://localhost:{DEFAULT_PORT}",
                    server=server,
                )
                return _run(steps, environment, signals)
        except Stopped as stopped:
            say(f"bin/test: stopped by {stopped}.")
            return 128 + stopped.signum


@contextmanager
def _postgres(home: Home, secrets: Secrets, signals: Signals) -> Iterator[Server | None]:
    if not uses_own_postgres():
        yield None
        return
    with embedded_postgres(
        home.folder, passwords=secrets.postgres, durable=False, pause=signals.pause, tell=say
    ) as server:
        yield server


def _run(steps: Mapping[str, list[str]], environment: Mapping[str, str], signals: Signals) -> int:
    """All steps, also after one that failed: what is wrong is better known in one go."""
    failed = {}
    for name, arguments in steps.items():
        sys.stdout.write(f"== {name}\n")
        sys.stdout.flush()
        code = run_in_foreground(
            [sys.executable, *arguments], env=environment, cwd=ROOT, signals=signals
        )
        if code:
            failed[name] = code
        if signal.SIGINT in signals.received:
            raise Stopped(signal.SIGINT)
    if not failed:
        return 0
    if len(steps) > 1:
        say(f"bin/test: failed: {', '.join(failed)}")
    return next(iter(failed.values()))
