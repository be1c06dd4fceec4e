"""Somebody at work on the portal: `python -m tests.changing` does what each line of JSON orders.

The answer to each says when it was begun and when it had been committed, on the clock of
time.monotonic, which Linux keeps for all processes alike. Pages answer later than that: they wait
until a change is in effect.
"""

import json
import os
import re
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import django
from django.conf import settings
from django.db import connection, connections, transaction
from django.test.utils import setup_test_environment

# A statement that changes what a verdict, or what is shown, depends on.
DECISIVE = re.compile(
    r'(INSERT INTO|UPDATE|DELETE FROM) "'
    r'(accounts_tenant|apikeys_(apikey|apikeysecret|contract)|markets_tenantmarkets)"'
)


class Commits:
    """Looks at each statement, and notes when the last of what was decisive had been committed."""

    def __init__(self) -> None:
        self.done_at = float("-inf")

    def __call__(
        self, execute: Callable[..., Any], sql: object, params: Any, many: bool, context: Any
    ) -> Any:
        """As connection.execute_wrapper asks for it."""
        done = execute(sql, params, many, context)
        if DECISIVE.match(str(sql)):
            # Before the hooks of views, since those are registered after the statement.
            transaction.on_commit(self._note)
        return done

    def _note(self) -> None:
        self.done_at = time.monotonic()


def main(pages: ModuleType) -> None:
    """One answer a line, until the orders end."""
    commits = Commits()
    with connection.execute_wrapper(commits):
        for line in sys.stdin:
            order = json.loads(line)
            connections.close_all()  # Postgres may have been restarted meanwhile
            began_at = time.monotonic()
            answer = getattr(pages, order.pop("act"))(**order) or {}
            assert commits.done_at > began_at, f"nothing was committed: {line}"
            answer |= {"began_at": began_at, "done_at": commits.done_at}
            sys.stdout.write(f"{json.dumps(answer)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    settings.STORAGES["staticfiles"] = {  # nobody looks at the pages
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
    }
    django.setup()
    setup_test_environment()
    from tests import propagation_pages  # it takes models, which are there from now on

    main(propagation_pages)
