"""Seeing and ending one's sessions."""

import uuid

from django.db import transaction

from accounts.audit import record
from accounts.models import Action, Session, User
from accounts.origin import Origin
from portal.lib.crypto import digest


def live_sessions(user: User, *, current_key: str | None) -> list[Session]:
    """The user's sessions, the current one first (`is_current`), then the last seen."""
    current = digest(current_key or "")
    sessions = list(Session.objects.live().filter(user=user).order_by("-last_seen_at"))
    for session in sessions:
        session.is_current = bytes(session.key_hash) == current
    return sorted(sessions, key=lambda session: not session.is_current)


@transaction.atomic
def end_session(*, user: User, session_id: uuid.UUID, origin: Origin) -> bool:
    """End one of the user's sessions, from its next request on. False if it was over already."""
    ended, _ = Session.objects.filter(user=user, id=session_id).delete()
    if ended:
        record(Action.SESSION_ENDED_ELSEWHERE, actor=user, origin=origin, target=user, ended=1)
    return bool(ended)


@transaction.atomic
def end_other_sessions(*, user: User, current_key: str | None, origin: Origin) -> int:
    """End all but the current one; how many they were."""
    others = Session.objects.filter(user=user).exclude(key_hash=digest(current_key or ""))
    ended, _ = others.delete()
    if ended:
        record(Action.SESSION_ENDED_ELSEWHERE, actor=user, origin=origin, target=user, ended=ended)
    return ended
