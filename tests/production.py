"""The portal as production starts it: in a process and with an environment of its own."""

import json
import os
import subprocess
import sys
from typing import Any

from portal.launch.environment import ROOT

SAFE = {
    "PORTAL_ENV": "production",
    "PORTAL_BASE_URL": "https://portal.example",
    "SECRET_KEY": "k2J9-bX7wq_Zr5Tn0Yc8Lm4Vd6Hs1Fg3Pa-Ue7Qi9Ro2Wx5Bz8Mt1Nk4",
    "FIELD_KEYS": "cGFydCBvZiB0aGUgdGVzdHMsIG5vdCBhIHNlY3JldCE=",
    "EMAIL_URL": "smtp://127.0.0.1:1",
    "DATABASE_OWNER_URL": "postgresql://owner@localhost/portal",
}

# What the script is given: Django, ready, and nothing left behind in the database.
_BEFORE = """
import django, json
django.setup()
from django.conf import settings
from django.test import Client
settings.STORAGES["staticfiles"] = {
    "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
}
settings.ALLOWED_HOSTS.append("testserver")
"""


def in_production(*arguments: str, **changed: str | None) -> subprocess.CompletedProcess[str]:
    """Python with these arguments in a safe environment; None takes a variable out of it."""
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": os.environ["DATABASE_URL"], **SAFE}
    environment |= {name: value for name, value in changed.items() if value is not None}
    for name in (name for name, value in changed.items() if value is None):
        environment.pop(name, None)
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def told_by(script: str, **changed: str) -> Any:
    """What the script `answer`s with, as JSON, in a production of its own."""
    done = in_production(
        "-c",
        _BEFORE + script + "\nprint(json.dumps(answer))",
        DJANGO_SETTINGS_MODULE="portal.settings",
        **changed,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
