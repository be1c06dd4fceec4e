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
    """In so many of so many processes.

    seconds: to the last of them, if known. From the statement that made the change, since nobody
    is told when a COMMIT was: never too few, and too many by what its transaction did after it.
    is_known: False where it could not be asked.
    """

    reached: int
    processes: int
    seconds: float | None
    is_known: bool = True

    @property
    def is_everywhere(self) -> bool:
        """All processes that were there have acknowledged it."""
        return self.is_known and self.reached >= self.processes

    @property
    def sentence(self) -> str:
        """For a page; empty where there is no process that would have to hear."""
        numbers = {"reached": self.reached, "processes": self.processes}
        if not self.is_known:
            return _("It could not be asked in how many processes this is in effect.")
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


_NOT_KNOWN = Effect(0, 0, None, is_known=False)


def effect_of(kind: str, name: object, version: int) -> Effect | None:
    """How far the change has come that gave the row this version, or a later one.

    kind and name: as the database announces it: `key`, `tenant`, `contract`, `markets`, `catalogue`
    and the row's id. None where it is not known any more, an hour later at the earliest. Where it
    cannot be asked it says so and does not raise: what was done is done, and its page must come.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute(_LOOK, [kind, str(name), version])
            found = cursor.fetchone()
    except DatabaseError:
        return _NOT_KNOWN
    return Effect(found[1], found[0], found[2]) if found else None


def await_effect(
    kind: str, name: object, version: int, *, seconds: float | None = None
) -> Effect | None:
    """The same, as soon as it is in effect everywhere, or after so long; for after a commit.

    seconds: WAIT_SECONDS unless they are given.
    """
    ends_at = time.monotonic() + (WAIT_SECONDS if seconds is None else seconds)
    pauses = iter(_PAUSES)
    pause = _PAUSES[0]
    while True:
        effect = effect_of(kind, name, version)
        if effect is None or not effect.is_known or effect.is_everywhere:
            return effect
        if time.monotonic() >= ends_at:
            return effect
        pause = next(pauses, pause)
        time.sleep(pause)


def _in_words(seconds: float) -> str:
    """Rounded up, with two digits below a second's tenth and one above it."""
    digits = 2 if seconds < 0.1 else 1
    return number_format(max(math.ceil(seconds * 10**digits), 1) / 10**digits, digits)
