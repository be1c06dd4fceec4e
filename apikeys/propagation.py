"""How far a change has come: in how many processes of the machine door it is in effect.

From what those processes write themselves (`apikeys.edge.attendance`), and from nothing else.
"""

import math
import time
from dataclasses import dataclass

from django.db import DatabaseError, connection
from django.utils.formats import number_format
from django.utils.translation import gettext as _

WAIT_SECONDS = 1.0  # within which a change is promised to be in effect everywhere
_PAUSES = (0.01, 0.02, 0.04)  # between two looks; the last one is repeated

_LOOK = """
SELECT count(process.id), count(said.process),
       extract(epoch FROM max(said.heard_at) FILTER (WHERE process.started_at < change.at)
                          - change.at)::float
FROM apikeys_announcement AS change
LEFT JOIN apikeys_doorprocess AS process
ON process.is_remembering AND process.counted_until > clock_timestamp()
LEFT JOIN apikeys_acknowledgement AS said
ON said.kind = change.kind AND said.name = change.name AND said.process = process.id
AND said.version >= change.version AND said.heard_at >= change.at
WHERE change.kind = %s AND change.name = %s AND change.version >= %s
GROUP BY change.kind, change.name
"""


@dataclass(frozen=True)
class Effect:
    """In so many of so many processes; seconds: from the change to the last of them, if known."""

    reached: int
    processes: int
    seconds: float | None

    @property
    def is_everywhere(self) -> bool:
        """All processes that were there have acknowledged it."""
        return self.reached >= self.processes

    @property
    def sentence(self) -> str:
        """For a page; empty where there is no process that would have to hear."""
        numbers = {"reached": self.reached, "processes": self.processes}
        if not self.processes:
            return ""
        if not self.is_everywhere:
            return (
                _("Not yet everywhere: in effect in %(reached)d of %(processes)d processes.")
                % numbers
            )
        if self.seconds is None:
            return _("In effect in %(reached)d of %(processes)d processes.") % numbers
        after = {**numbers, "seconds": _in_words(self.seconds)}
        return (
            _("In effect on every process after %(seconds)s s (%(reached)d of %(processes)d).")
            % after
        )


def effect_of(kind: str, name: object, version: int) -> Effect | None:
    """How far the change has come that gave the row this version, or a later one.

    kind and name: as the database announces it: `key`, `tenant`, `contract`, `markets`, `catalogue`
    and the row's id. None where it is not known any more, an hour later at the earliest.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOOK, [kind, str(name), version])
        found = cursor.fetchone()
    return Effect(found[1], found[0], found[2]) if found else None


def await_effect(
    kind: str, name: object, version: int, *, seconds: float | None = None
) -> Effect | None:
    """The same, as soon as it is in effect everywhere, or after so long; for after a commit.

    seconds: WAIT_SECONDS unless they are given.

    None also where it cannot be asked: what was done is done, and its page must come.
    """
    ends_at = time.monotonic() + (WAIT_SECONDS if seconds is None else seconds)
    pauses = iter(_PAUSES)
    pause = _PAUSES[0]
    try:
        while True:
            effect = effect_of(kind, name, version)
            if effect is None or effect.is_everywhere or time.monotonic() >= ends_at:
                return effect
            pause = next(pauses, pause)
            time.sleep(pause)
    except DatabaseError:
        return None


def _in_words(seconds: float) -> str:
    """Rounded up, with two digits below a second's tenth and one above it."""
    digits = 2 if seconds < 0.1 else 1
    return number_format(max(math.ceil(seconds * 10**digits), 1) / 10**digits, digits)
