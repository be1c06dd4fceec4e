"""What a person typed: signing in, codes, passwords, preferences."""

from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from accounts.models import Action, Invitation, Role, Tenant, User
from accounts.models.users import Theme, username_validator
from accounts.passwords import LEAST, MOST
from accounts.services.invitations import InvitationError, check_can_be_invited


def _password_field(label: Any, autocomplete: str, help_text: Any = "") -> forms.CharField:
    """Any characters, nothing cut off; more than MOST is refused before anything is hashed."""
    return forms.CharField(
        label=label,
        max_length=MOST,
        strip=False,
        help_text=help_text,
        widget=forms.PasswordInput(attrs={"autocomplete": autocomplete, "maxlength": None}),
    )


class SignInForm(forms.Form):
    """Username or e-mail address, and password. That they are wrong is said by the view."""

    username = forms.CharField(
        label=_("Username"),
        max_length=254,
        help_text=_("Your e-mail address works too."),
        widget=forms.TextInput(
            attrs={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )
    password = _password_field(_("Password"), "current-password")


class CodeForm(forms.Form):
    """Six digits of the authenticator."""

    code = forms.CharField(
        label=_("Authentication code"),
        max_length=64,
        help_text=_("The six digits that your authenticator app shows now, or a recovery code."),
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "class": "code"}
        ),
    )

    def clean_code(self) -> str:
        """Spaces, with which apps print codes, do not count. The rest is the authenticator's."""
        return str(self.cleaned_data["code"]).replace(" ", "")


class ConfirmItIsYouForm(CodeForm):
    """Password, and a code where 2FA is on. Whether they are right, the caller finds out."""

    field_order = ["password", "code"]

    wrong_password = _("This is not your password.")
    wrong_code = _("This code is wrong or was used already. Wait for the next one.")

    password = _password_field(_("Password"), "current-password")

    def __init__(self, *args: Any, needs_code: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not needs_code:
            del self.fields["code"]


class NewPasswordForm(forms.Form):
    """A password, twice, checked against the rules for this user."""

    new_password = _password_field(
        _("New password"),
        "new-password",
        format_lazy(
            _("At least {least} characters. A sentence of your own is a good one."), least=LEAST
        ),
    )
    confirm_password = _password_field(_("Confirm password"), "new-password")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_new_password(self) -> str:
        """The rules of `accounts.passwords` and of the settings."""
        password = str(self.cleaned_data["new_password"])
        validate_password(password, self.user)
        return password

    def clean(self) -> dict[str, Any]:
        """Both the same."""
        cleaned = super().clean() or {}
        password = cleaned.get("new_password")
        if password is not None and password != cleaned.get("confirm_password"):
            self.add_error("confirm_password", _("This is not the same as the new password."))
        return cleaned


class CurrentPasswordMixin(forms.Form):
    """Asks for the current password, and does nothing with a wrong one."""

    current_password = _password_field(_("Current password"), "current-password")

    user: User

    def clean_current_password(self) -> str:
        """Refused unless it is the user's."""
        password = str(self.cleaned_data["current_password"])
        if not self.user.check_password(password):
            raise forms.ValidationError(_("This is not your current password."), code="wrong")
        return password


class ChangePasswordForm(CurrentPasswordMixin, NewPasswordForm):
    """The current password, and a new one twice."""

    field_order = ["current_password", "new_password", "confirm_password"]

    def clean_new_password(self) -> str:
        """A new one is one that is new."""
        password = super().clean_new_password()
        if password == self.cleaned_data.get("current_password"):
            raise forms.ValidationError(_("This is the password you have now."))
        return password


class EnableTwoFactorForm(CurrentPasswordMixin):
    """The current password, before the secret is shown."""

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user


class PasswordAndCodeForm(EnableTwoFactorForm, CodeForm):
    """The current password and a code."""

    field_order = ["current_password", "code"]


def _zones() -> list[tuple[str, str]]:
    return [(name, name) for name in sorted(available_timezones())]


class PreferencesForm(forms.Form):
    """Language, time zone, theme."""

    language = forms.ChoiceField(label=_("Language"), choices=settings.LANGUAGES)
    time_zone = forms.ChoiceField(label=_("Time zone"), choices=_zones)
    theme = forms.ChoiceField(label=_("Theme"), choices=Theme.choices, widget=forms.RadioSelect)


class MemberRoleForm(forms.Form):
    """A member's role."""

    role = forms.ChoiceField(label=_("Role"), choices=Role.choices, widget=forms.RadioSelect)


class ActivityFilterForm(forms.Form):
    """What of the audit trail is shown. It is sent by GET, so that it is in the address."""

    action = forms.ChoiceField(
        label=_("What"), required=False, choices=[("", _("Everything")), *Action.choices]
    )
    actor = forms.CharField(label=_("Who"), required=False, max_length=120)
    since = forms.DateField(
        label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"})
    )
    until = forms.DateField(
        label=_("Until"), required=False, widget=forms.DateInput(attrs={"type": "date"})
    )


class TeamInvitationForm(forms.Form):
    """Whom an owner invites into the tenant."""

    email = forms.EmailField(label=_("E-mail"), max_length=254)
    username = forms.CharField(
        label=_("Username"),
        max_length=64,
        validators=[username_validator],
        help_text=_("What they sign in with, beside the address."),
    )
    name = forms.CharField(label=_("Name"), max_length=120, required=False)
    role = forms.ChoiceField(label=_("Role"), choices=Role.choices, initial=Role.VIEWER)

    def __init__(self, *args: Any, tenant: Tenant, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tenant = tenant

    def clean(self) -> dict[str, Any]:
        """Whoever is there already is said here."""
        cleaned = super().clean() or {}
        if not self.errors:
            try:
                check_can_be_invited(cleaned["email"], cleaned["username"], self.tenant)
            except InvitationError as error:
                raise forms.ValidationError(str(error)) from None
        return cleaned


class InvitationForm(forms.ModelForm):  # type: ignore[type-arg]
    """Whom to invite: into a tenant with a role, or, without a tenant, to the staff."""

    class Meta:
        model = Invitation
        fields = ["tenant", "role", "email", "username", "name"]
        help_texts = {
            "tenant": _("Leave tenant and role empty to invite to the staff."),
            "username": _(
                "What they sign in with, beside the address. "
                "Somebody who has an account keeps the username they have."
            ),
        }

    def clean(self) -> dict[str, Any]:
        """A tenant and a role belong together; whoever is there already is said here."""
        cleaned = super().clean() or {}
        if bool(cleaned.get("tenant")) != bool(cleaned.get("role")) and "tenant" in cleaned:
            raise forms.ValidationError(_("Choose both a tenant and a role, or neither for staff."))
        if not self.errors:
            try:
                check_can_be_invited(cleaned["email"], cleaned["username"], cleaned["tenant"])
            except InvitationError as error:
                raise forms.ValidationError(str(error)) from None
        return cleaned
