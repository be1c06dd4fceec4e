"""A server that dies: `python -m tests.rotating` sends a form and is killed at the step one names.

It reads orders, a line of JSON each, and forks for each of them. A step is a statement or a commit;
the child ends itself by SIGKILL right before or after it, so nothing of its own can clean up.
"""

import hashlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from typing import IO, Any

import django
from django.conf import settings


def main() -> None:
    """One answer a line, until the orders end."""
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            with os.fdopen(writing, "w") as report:
                _obey(order, report)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as report:
            said = {key: value for each in report for key, value in json.loads(each).items()}
        _, status = os.waitpid(child, 0)
        said["was_killed"] = os.WIFSIGNALED(status)
        sys.stdout.write(f"{json.dumps(said)}\n")
        sys.stdout.flush()


def _obey(order: dict[str, Any], report: IO[str]) -> None:
    from django.db import connection
    from django.test import Client

    steps = 0

    def say(**said: Any) -> None:
        report.write(f"{json.dumps(said)}\n")
        report.flush()

    def step(perform: Callable[[], Any]) -> Any:
        nonlocal steps
        steps += 1
        if steps == order["step"] and order["when"] == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = perform()
        if steps == order["step"] and order["when"] == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def watch(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        if sql.startswith('INSERT INTO "apikeys_apikeysecret"'):
            hashes = [bytes(value.obj).hex() for value in params if hasattr(value, "obj")]
            say(inserted=hashes)
        return step(lambda: execute(sql, params, many, context))

    commit = connection._commit
    connection._commit = lambda: step(commit)
    client = Client(raise_request_exception=False, SERVER_NAME="localhost")
    client.cookies[settings.SESSION_COOKIE_NAME] = order["cookie"]
    with connection.execute_wrapper(watch):
        answer = client.post(order["path"], order["form"])
    shown = re.findall(r"vbk_[0-9A-Za-z]{24}", answer.content.decode())
    say(status=answer.status_code, shown=[hashlib.sha256(s.encode()).hexdigest() for s in shown])


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    django.setup()
    from tests.conftest import pytest_configure

    pytest_configure(None)  # type: ignore[arg-type]
    main()
