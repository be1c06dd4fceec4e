"""The shell as an app: it holds the checks and the commands that join the others."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    """Joins things, decides nothing."""

    name = "portal"

    def ready(self) -> None:
        """Register the system checks."""
        from portal import checks  # noqa: F401 - needs the app registry
