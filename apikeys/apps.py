"""The app that knows what opens the feed."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ApikeysConfig(AppConfig):
    """With what: contracts, keys, allowlists, the machine door."""

    name = "apikeys"
    verbose_name = _("API access")
