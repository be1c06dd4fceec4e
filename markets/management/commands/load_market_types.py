"""`load_market_types FILE`: make the catalogue of a sport what a JSON file says."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.origin import COMMAND_LINE
from markets.catalogue_file import BadFile, read_catalogue
from markets.models import MarketType
from markets.services.catalogue import load_catalogue


class Command(BaseCommand):
    """Adds, updates, retires. A second time it does nothing; with a bad row it does nothing."""

    help = (
        "Makes the catalogue of a sport what FILE says: adds, updates, and takes out for good "
        "what FILE lacks. Bad rows are named by their lines, and then nothing is applied."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The file, and what is to be kept from happening by mistake."""
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument(
            "--if-empty", action="store_true", help="leave a catalogue that is there as it is"
        )
        parser.add_argument(
            "--retire-most", action="store_true", help="even if more than half is taken out"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Load, and say what was done."""
        if options["if_empty"] and MarketType.objects.exists():
            return
        try:
            loaded = load_catalogue(
                file=read_catalogue(options["file"].read_text("utf-8-sig")),
                may_retire_most=options["retire_most"],
                actor=None,
                origin=COMMAND_LINE,
            )
        except OSError as error:
            raise CommandError(f"{options['file']}: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise CommandError(f"{options['file']}: not UTF-8.") from None
        except BadFile as bad:
            raise CommandError("\n".join(["Nothing was applied.", *bad.errors])) from None
        numbers = (len(loaded.added), len(loaded.changed), len(loaded.retired))
        self.stdout.write("{} added, {} changed, {} taken out.".format(*numbers))
        if loaded.retired:
            self.stdout.write(f"Taken out: {', '.join(loaded.retired)}")
