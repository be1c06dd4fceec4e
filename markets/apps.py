"""The app that knows what can be bet on, and which of it each tenant takes."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MarketsConfig(AppConfig):
    """What: the catalogue of market types, each tenant's default and overrides, revisions."""

    name = "markets"
    verbose_name = _("Markets")
