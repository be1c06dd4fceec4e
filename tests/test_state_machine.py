"""Signing in, codes, invitations, sessions and the clock, in any order, against a plain model.

Promises 10, 12, 13, 22 to 25, 28, 29 and 35. PORTAL_MACHINE_WALKS=200 goes on for so many walks of
50 steps, each drawn anew.
"""

import os

import pytest
from django.conf import LazySettings
from hypothesis import HealthCheck
from hypothesis import settings as pace
from hypothesis.stateful import run_state_machine_as_test

from tests.machine.invitations import Invitations
from tests.machine.sessions import Sessions

WALKS = int(os.environ.get("PORTAL_MACHINE_WALKS", "0"))


class Portal(Sessions, Invitations):
    """All rules together."""


@pytest.mark.usefixtures("db")
def test_whatever_is_done_in_whatever_order(settings: LazySettings) -> None:
    """The limits of django-ratelimit are switched off; those of wrong codes are in the model."""
    settings.RATELIMIT_ENABLE = False
    run_state_machine_as_test(
        Portal,
        settings=pace(
            max_examples=WALKS or 10,
            stateful_step_count=50 if WALKS else 30,
            derandomize=not WALKS,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=bool(WALKS),
        ),
    )
