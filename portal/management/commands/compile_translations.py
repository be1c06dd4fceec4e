"""`compile_translations`: locale/*/LC_MESSAGES/django.po into what Django reads; no gettext."""

from pathlib import Path
from typing import Any

import polib
from django.conf import settings
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Django's compilemessages needs gettext's programs, which a fresh machine does not have."""

    help = "Compiles the translations. Whoever starts the portal does this first."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        """One .mo beside each .po that is newer, put in place whole."""
        for folder in settings.LOCALE_PATHS:
            for source in sorted(Path(folder).glob("*/LC_MESSAGES/django.po")):
                target = source.with_suffix(".mo")
                if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
                    continue
                partial = target.with_suffix(".mo.partial")
                polib.pofile(str(source)).save_as_mofile(str(partial))
                partial.replace(target)
