"""The app that knows who, and Django's admin with our site in it."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    """Who: tenants, users, sessions, audit."""

    name = "accounts"
    verbose_name = _("Tenants and people")


class StaffConfig(AdminConfig):
    """Django's admin with our site in the place of its own."""

    default_site = "accounts.staff.StaffSite"
