"""A tenant's choices as CSV: what is written, and what is read back. Asks no database."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from markets.catalogue import Contents
from markets.effective import Choice, Choices
from portal.lib.spreadsheets import harmless

COLUMNS = ["code", "choice", "effective", "group", "name_en", "name_ru"]
_DELIMITERS = (",", ";", "\t")
_WORDS = {choice.value: choice for choice in Choice}


@dataclass
class Sheet:
    """What was read: code → choice, or what is wrong, line by line."""

    choices: dict[str, Choice] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


def write_sheet(choices: Choices, catalogue: Contents) -> str:
    """Every live type, its choice and what that comes to."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for each in catalogue.live:
        effective = Choice.ON if choices.is_on(each) else Choice.OFF
        cells = [each.code, choices.of(each.code), effective]
        cells += [harmless(text) for text in (each.group, each.name_en, each.name_ru)]
        writer.writerow(cells)
    return out.getvalue()


def read_sheet(text: str, catalogue: Contents) -> Sheet:
    """The choices of a file with the columns `code` and `choice`; others are passed over.

    Types that it does not name keep their choice. Where one line is wrong, none counts.
    """
    sheet = Sheet()
    if "\x00" in text:
        sheet.errors.append(_("This is no CSV file."))
        return sheet
    lines: dict[str, int] = {}
    try:
        for line, row in _rows(text, sheet):
            _read_row(line, row, catalogue, sheet, lines)
    except csv.Error:
        sheet.errors.append(_("This is no CSV file."))
    if not sheet.choices and not sheet.errors:
        sheet.errors.append(_("There is no choice in this file."))
    return sheet


def _rows(text: str, sheet: Sheet) -> Iterator[tuple[int, Mapping[str, str]]]:
    head = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names = [name.strip().lower() for name in next(reader, [])]
    if not {"code", "choice"} <= set(names):
        sheet.errors.append(_("line 1: the columns “code” and “choice” should be named here."))
        return
    if names.count("code") > 1 or names.count("choice") > 1:
        sheet.errors.append(_("line 1: “code” and “choice” should be named once."))
        return
    for cells in reader:
        if any(cell.strip() for cell in cells):
            row = dict(zip(names, cells, strict=False))
            yield reader.line_num, {name: cell.strip() for name, cell in row.items()}


def _read_row(
    line: int, row: Mapping[str, str], catalogue: Contents, sheet: Sheet, lines: dict[str, int]
) -> None:
    code, word = row.get("code", ""), row.get("choice", "").lower()
    about = {"line": line, "code": code[:64], "word": word[:40], "first": lines.get(code)}
    known = catalogue.by_code.get(code)
    if known is None:
        sheet.errors.append(_("line %(line)s: there is no type “%(code)s”.") % about)
    elif known.is_retired:
        sheet.errors.append(_("line %(line)s: “%(code)s” was taken out of the catalogue.") % about)
    elif code in lines:
        sheet.errors.append(_("line %(line)s: “%(code)s” is on line %(first)s already.") % about)
    elif word not in _WORDS:
        sheet.errors.append(
            _("line %(line)s: “%(word)s” is no choice: default, on or off.") % about
        )
    else:
        sheet.choices[code] = _WORDS[word]
    lines.setdefault(code, line)
