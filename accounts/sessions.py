"""The session store: rows of `accounts.Session`, found by the hash of the cookie.

Sessions end twelve hours after signing in, whatever happens in between: Django's own engine would
push the end with every save.
"""

import datetime as dt
import json
from functools import lru_cache
from typing import Any

from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.db import IntegrityError, transaction

from accounts.arrivals import Arrival, arrival_of
from accounts.models import Session
from portal.lib import clock
from portal.lib.crypto import digest

LIFETIME = dt.timedelta(hours=12)
# "Last seen" is written this often at most; it is bookkeeping, and no act.
SEEN_EVERY = dt.timedelta(minutes=5)
# Somebody between password and code, or a form filled before signing in: nobody yet.
ANONYMOUS_LIFETIME = dt.timedelta(minutes=30)


class SessionStore(SessionBase):
    """Django's session interface over our table."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._arrival: Arrival | None = None

    def load(self) -> dict[str, Any]:
        """The data of a live session; an empty one, and no key, for anything else."""
        self._arrival = self._live()
        if self._arrival is None:
            self._session_key = None
            return {}
        data: dict[str, Any] = json.loads(_verified(self._arrival.data))
        return data

    @property
    def arrival(self) -> Arrival | None:
        """Who came with the cookie, as the session was read: its user may have gone since."""
        self._get_session()  # type: ignore[attr-defined] # reads it, unless that was done
        return self._arrival

    def exists(self, session_key: str) -> bool:
        """Is there a row of that cookie?"""
        return Session.objects.filter(key_hash=digest(session_key)).exists()

    def create(self) -> None:
        """A new, empty session with a key of its own."""
        while True:
            self._session_key = self._get_new_session_key()  # type: ignore[attr-defined]
            try:
                self.save(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return

    def save(self, must_create: bool = False) -> None:
        """Write the row. UpdateError if it is gone: a session that was ended stays ended."""
        if self.session_key is None:
            self.create()
            return
        data = self._get_session(no_load=must_create)  # type: ignore[attr-defined]
        columns = self._columns(data)
        key_hash = digest(self.session_key)
        if must_create:
            try:
                with transaction.atomic():
                    Session.objects.create(key_hash=key_hash, **columns)
            except IntegrityError:
                raise CreateError from None
        elif not Session.objects.filter(key_hash=key_hash).update(**columns):
            raise UpdateError

    def delete(self, session_key: str | None = None) -> None:
        """Remove the row of that cookie, or of this session."""
        key = session_key or self.session_key
        if key:
            Session.objects.filter(key_hash=digest(key)).delete()

    def get_expiry_date(self, **_: Any) -> dt.datetime:
        """Twelve hours after signing in; it never moves."""
        if signed_in_at := self.get("signed_in_at"):
            return dt.datetime.fromisoformat(signed_in_at) + LIFETIME
        return clock.now() + ANONYMOUS_LIFETIME

    def get_expiry_age(self, **_: Any) -> int:
        """Seconds until then."""
        return max(0, int((self.get_expiry_date() - clock.now()).total_seconds()))

    def get_expire_at_browser_close(self) -> bool:
        """No: the cookie carries its end."""
        return False

    @classmethod
    def clear_expired(cls) -> None:
        """Delete what has ended: for the worker."""
        Session.objects.filter(expires_at__lte=clock.now()).delete()

    def _live(self) -> Arrival | None:
        if self.session_key is None:
            return None
        key_hash = digest(self.session_key)
        found = arrival_of(key_hash)
        if found is None:
            return None
        now = clock.now()
        if found.expires_at <= now:
            Session.objects.filter(key_hash=key_hash).delete()
            return None
        if now - found.last_seen_at > SEEN_EVERY:
            Session.objects.filter(key_hash=key_hash).update(last_seen_at=now)
        return found

    def _columns(self, data: dict[str, Any]) -> dict[str, Any]:
        return {
            "data": self.encode(data),
            "user_id": data.get("_auth_user_id"),
            "signed_in_at": data.get("signed_in_at"),
            "proved_at": data.get("proved_at"),
            "address": data.get("address"),
            "agent": data.get("agent", ""),
            "expires_at": self.get_expiry_date(),
        }


@lru_cache(maxsize=1024)
def _verified(signed: str) -> str:
    """What a row's data says, as JSON. A text's signature is the same at every request."""
    return json.dumps(SessionStore().decode(signed))
