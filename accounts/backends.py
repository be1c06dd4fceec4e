"""Signing in with a username or an e-mail address, at the same price whoever is asking."""

import datetime as dt
from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest

from accounts.models import Membership, User
from accounts.notices import notify
from portal.lib import clock


class UsernameOrEmail(BaseBackend):
    """Knows a user by username or e-mail address, whatever the case."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **_: Any,
    ) -> User | None:
        """The user, or None: unknown, wrong, inactive, or with suspended tenants alone.

        Each of these costs one hash, so that the time says nothing (ASVS 5.0 6.3.8).
        """
        if username is None or password is None:
            return None
        user = User.objects.by_login(username)
        if user is None:
            make_password(password)
            return None
        if not user.check_password(password):
            return None
        if may_sign_in(user):
            return user
        if Membership.objects.filter(user=user).exists():
            _tell_suspended(user)
        return None

    def get_user(self, user_id: Any) -> User | None:
        """The user of a session, if still active."""
        return User.objects.filter(pk=user_id, is_active=True).first()


def _tell_suspended(user: User) -> None:
    """The answer is that of a wrong password; a mail, once a day at most, says why."""
    now = clock.now()
    untold = Q(suspension_told_at=None) | Q(suspension_told_at__lte=now - dt.timedelta(days=1))
    with transaction.atomic():
        to_tell = User.objects.filter(untold, pk=user.pk, is_active=True)
        if to_tell.update(suspension_told_at=now):
            notify("suspended", users=[user], origin=None)


def may_sign_in(user: User) -> bool:
    """Active, and staff or a member of at least one tenant that is not suspended."""
    if not user.is_active:
        return False
    return user.is_staff or Membership.objects.filter(user=user).in_active_tenants().exists()
