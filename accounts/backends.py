"""Signing in with a username or an e-mail address, at the same price whoever is asking."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest

from accounts.models import Membership, User


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
        is_right = user.check_password(password)
        return user if is_right and may_sign_in(user) else None

    def get_user(self, user_id: Any) -> User | None:
        """The user of a session, if still active."""
        return User.objects.filter(pk=user_id, is_active=True).first()


def may_sign_in(user: User) -> bool:
    """Active, and staff or a member of at least one tenant that is not suspended."""
    if not user.is_active:
        return False
    return user.is_staff or Membership.objects.filter(user=user).in_active_tenants().exists()
