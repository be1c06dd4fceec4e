"""Users: people. They sign in with their username or their e-mail address."""

import secrets
import uuid
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.hashers import check_password, make_password
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from portal.lib import clock

username_validator = RegexValidator(
    r"^[^\s@\x00-\x1f\x7f]+(?: [^\s@\x00-\x1f\x7f]+)*\Z",
    _("A username holds no “@” and neither begins nor ends with a space."),
)


def new_session_token() -> str:
    """128 random bits; a new one ends every session of the user."""
    return secrets.token_hex(16)


class Theme(models.TextChoices):
    """Light, dark, or whatever the device says."""

    SYSTEM = "system", _("As the device")
    LIGHT = "light", _("Light")
    DARK = "dark", _("Dark")


class UserManager(BaseUserManager["User"]):
    """Looks users up by what they type."""

    def by_login(self, typed: str) -> "User | None":
        """The user with that username or e-mail address, whatever the case; None without one.

        Usernames hold no “@”, so one text can never mean two people.
        """
        field = "email" if "@" in typed else "username"
        return self.filter(**{f"{field}__iexact": typed.strip()}).first()

    def by_email(self, email: str) -> "User | None":
        """The user with that address, whatever its case."""
        return self.filter(email__iexact=email).first()

    def get_by_natural_key(self, username: str | None) -> "User":
        """For Django's own commands."""
        return self.get(username__iexact=username)


class User(AbstractBaseUser):  # type: ignore[django-manager-missing] # django-otp is untyped
    """A person; may belong to several tenants, or be staff and belong to none."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    username = models.CharField(_("username"), max_length=64, validators=[username_validator])
    email = models.EmailField(_("e-mail"), max_length=254)
    name = models.CharField(_("name"), max_length=120, blank=True)
    is_staff = models.BooleanField(_("staff"), default=False)
    is_active = models.BooleanField(_("active"), default=True)
    session_token = models.CharField(max_length=32, default=new_session_token, editable=False)
    language = models.CharField(_("language"), max_length=8, default="en")
    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC")
    theme = models.CharField(_("theme"), max_length=8, choices=Theme.choices, default=Theme.SYSTEM)
    suspension_told_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(_("created at"), default=clock.now, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["email"]

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        ordering = ["username"]
        constraints = [
            models.UniqueConstraint(Lower("username"), name="username_is_unique_in_any_case"),
            models.UniqueConstraint(Lower("email"), name="email_is_unique_in_any_case"),
            models.CheckConstraint(
                condition=~models.Q(username__contains="@"), name="username_holds_no_at"
            ),
        ]

    def __str__(self) -> str:
        return self.username

    @property
    def display_name(self) -> str:
        """The name, or the username of somebody without one."""
        return self.name or self.username

    def check_password(self, raw_password: str | None) -> bool:
        """Is it the user's? What new parameters call for is hashed again.

        That is written over the hash that was checked and over no other: the old password, typed
        while it was being changed, must not come back.
        """
        checked = self.password

        def hash_again(password: str) -> None:
            self.password = make_password(password)
            User.objects.filter(pk=self.pk, password=checked).update(password=self.password)

        return check_password(raw_password, checked, hash_again)

    def _get_session_auth_hash(self, secret: Any = None) -> str:
        """Django's hash of the password, with the user's session token mixed in.

        A change of the second factor does not change the password; the token ends sessions too.
        """
        return salted_hmac(
            "accounts.User.session_auth_hash",
            f"{self.password}:{self.session_token}",
            secret=secret,
            algorithm="sha256",
        ).hexdigest()

    # Django's admin asks these. Staff may use the whole panel; what it offers is decided there.
    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Staff may; nobody else meets the panel."""
        return self.is_active and self.is_staff

    def has_module_perms(self, app_label: str) -> bool:
        """Staff may."""
        return self.is_active and self.is_staff
