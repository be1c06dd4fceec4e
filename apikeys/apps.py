"""The app that knows what opens the feed."""

from django.apps import AppConfig


class ApikeysConfig(AppConfig):
    """With what: contracts, keys, allowlists, the machine door."""

    name = "apikeys"
