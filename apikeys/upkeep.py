"""What is done now and then about propagation: see `apikeys.tasks`."""

import datetime as dt

from django.db import connection

from apikeys.models import Announcement, Canary, DoorProcess, PropagationRun
from apikeys.propagation import Effect, await_effect
from portal.lib import clock

CANARY_SECONDS = 3  # then it is late, and that is what is recorded
ANNOUNCEMENTS_KEPT = dt.timedelta(hours=1)
RUNS_KEPT = dt.timedelta(days=7)

_CHANGE_CANARY = """
UPDATE apikeys_canary SET changed_at = clock_timestamp() RETURNING id, version
"""
_FORGET_ACKNOWLEDGEMENTS = """
DELETE FROM apikeys_acknowledgement AS said
WHERE NOT EXISTS (
    SELECT FROM apikeys_announcement AS change
    WHERE change.kind = said.kind AND change.name = said.name
) OR NOT EXISTS (SELECT FROM apikeys_doorprocess AS process WHERE process.id = said.process)
"""


def measure_propagation() -> Effect | None:
    """Change the canary, and record how long it took until every process had heard of it.

    Where no process remembers keys that is recorded too, without seconds: else an earlier run would
    go on saying that all is well. None where it could not be asked.
    """
    Canary.objects.get_or_create(is_only=True, defaults={"changed_at": clock.now()})
    with connection.cursor() as cursor:
        cursor.execute(_CHANGE_CANARY)
        name, version = cursor.fetchone()
    effect = await_effect("key", name, version, seconds=CANARY_SECONDS)
    if effect is None or not effect.is_known:
        return None
    PropagationRun.objects.create(
        at=clock.now(),
        processes=effect.processes,
        reached=effect.reached,
        seconds=effect.seconds if effect.is_everywhere else None,
    )
    return effect


def forget_propagation() -> None:
    """Announcements that nobody asks about any more, and the traces of processes that are gone."""
    now = clock.now()
    Announcement.objects.filter(at__lt=now - ANNOUNCEMENTS_KEPT).delete()
    DoorProcess.objects.filter(counted_until__lt=now - ANNOUNCEMENTS_KEPT).delete()
    PropagationRun.objects.filter(at__lt=now - RUNS_KEPT).delete()
    with connection.cursor() as cursor:
        cursor.execute(_FORGET_ACKNOWLEDGEMENTS)
