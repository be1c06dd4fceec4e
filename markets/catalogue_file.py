"""Reads a catalogue from JSON, and names what is wrong by its line. Asks no database.

    {"sport": "cs2", "name_en": "Counter-Strike 2", "name_ru": "…",
     "groups": [{"code", "name_en", "name_ru"}, …],
     "market_types": [{"code", "name_en", "name_ru", "group", "specifiers", "outcomes",
                       "settlement", "sort_order"}, …]}

Names of the sport, specifiers, outcomes and sort_order may be left out; other members are passed
over. Without a sort_order a row stands where it stands in the file.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from markets.models.catalogue import CODE_PATTERN, Settlement

_SPACE = re.compile(r"[ \t\r\n]*")
_POSITION_STEP = 10
_LISTS = ("groups", "market_types")


class BadFile(Exception):
    """Nothing was applied. `errors`: sentences, each with its line where it has one."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


class Row(NamedTuple):
    """An object of one of the lists, and the line that it begins on."""

    line: int
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class CatalogueFile:
    """One sport, all of it. The columns of each row are those of the model, and valid."""

    sport: Mapping[str, str]
    groups: list[Row]
    types: list[Row]


def read_catalogue(text: str) -> CatalogueFile:
    """What the file says. Raises BadFile with everything that is wrong in it."""
    try:
        top, lists = _located(text)
    except json.JSONDecodeError as error:
        raise BadFile([f"line {error.lineno}: {error.msg}."]) from None
    errors: list[str] = []
    code = top.get("sport")
    if not _is_code(code, 32):
        errors.append("“sport” should be the sport's code.")
    sport = {"code": str(code)}
    sport |= {name: str(top.get(name) or code) for name in ("name_en", "name_ru")}
    groups = list(_rows(lists["groups"], _group, errors))
    known = {row.columns["code"] for row in groups}
    types = list(_rows(lists["market_types"], lambda row: _type(row, known), errors))
    if not types and not errors:
        errors.append("“market_types” should be a list with at least one entry.")
    if errors:
        raise BadFile(errors)
    return CatalogueFile(sport, groups, types)


def _rows(found: list[Row], read: Any, errors: list[str]) -> Iterator[Row]:
    """The rows that are good; what is wrong with the others goes into the errors."""
    first_lines: dict[str, int] = {}
    for number, (line, raw) in enumerate(found, start=1):
        wrong: list[str] = []
        if not isinstance(raw, dict):
            errors.append(f"line {line}: an object was expected.")
            continue
        columns, wrong = read({"sort_order": number * _POSITION_STEP, **raw})
        code = columns["code"]
        if not wrong and code in first_lines:
            wrong.append(f"the code “{code}” is on line {first_lines[code]} already")
        errors += [f"line {line}: {sentence}." for sentence in wrong]
        if not wrong:
            first_lines[code] = line
            yield Row(line, columns)


def _group(raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    columns = {name: raw.get(name) for name in ("code", "name_en", "name_ru", "sort_order")}
    return columns, list(_wrong_in_both(columns, 120))


def _type(raw: Mapping[str, Any], groups: set[str]) -> tuple[dict[str, Any], list[str]]:
    names = ("code", "name_en", "name_ru", "group", "settlement", "sort_order")
    columns = {name: raw.get(name) for name in names}
    columns |= {name: raw.get(name, []) for name in ("specifiers", "outcomes")}
    wrong = list(_wrong_in_both(columns, 160))
    if not isinstance(columns["group"], str) or columns["group"] not in groups:
        wrong.append(f"“group” should be one of {', '.join(sorted(groups))}")
    if columns["settlement"] not in Settlement.values:
        wrong.append(f"“settlement” should be one of {', '.join(Settlement.values)}")
    wrong += [
        f"“{name}” should be a list of words of at most 64 characters"
        for name in ("specifiers", "outcomes")
        if not _is_words(columns[name])
    ]
    return columns, wrong


def _wrong_in_both(columns: Mapping[str, Any], longest_name: int) -> Iterator[str]:
    if not _is_code(columns["code"], 64):
        yield "“code” should be lower-case letters, digits and underscores, 64 at most"
    for name in ("name_en", "name_ru"):
        value = columns[name]
        if not isinstance(value, str) or not value.strip() or len(value) > longest_name:
            yield f"“{name}” should be words, {longest_name} characters at most"
        elif "\x00" in value:
            yield f"“{name}” holds a NUL"
    position = columns["sort_order"]
    if type(position) is not int or not 0 <= position < 2**31:
        yield "“sort_order” should be a whole number, 0 or more"


def _is_code(value: object, longest: int) -> bool:
    is_text = isinstance(value, str) and len(value) <= longest
    return is_text and re.fullmatch(CODE_PATTERN, str(value)) is not None


def _is_words(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(word, str) and 0 < len(word) <= 64 and "\x00" not in word for word in value
    )


def _located(text: str) -> tuple[dict[str, Any], dict[str, list[Row]]]:
    """The members of the top object; of the two lists, each entry with its line.

    Python's decoder forgets where a value stood, so the outermost two levels are walked here and
    the rest is left to it.
    """
    decoder = json.JSONDecoder()
    top: dict[str, Any] = {}
    lists: dict[str, list[Row]] = {name: [] for name in _LISTS}
    at = _expect(text, 0, "{")
    while not text.startswith("}", at):
        member_at = at
        name, at = decoder.raw_decode(text, at)
        if not isinstance(name, str):
            raise json.JSONDecodeError("Expecting a name", text, member_at)
        at = _expect(text, at, ":")
        if name in lists and text.startswith("[", at):
            lists[name], at = _entries(text, at, decoder)
        else:
            top[name], at = decoder.raw_decode(text, at)
        at = _next(text, at, "}")
    if _skip(text, at + 1) != len(text):
        raise json.JSONDecodeError("Extra data", text, at + 1)
    return top, lists


def _entries(text: str, at: int, decoder: json.JSONDecoder) -> tuple[list[Row], int]:
    found = []
    at = _skip(text, at + 1)
    while not text.startswith("]", at):
        line = text.count("\n", 0, at) + 1
        value, at = decoder.raw_decode(text, at)
        found.append(Row(line, value))
        at = _next(text, at, "]")
    return found, at + 1


def _next(text: str, at: int, end: str) -> int:
    """Past the comma before another entry, or at the end."""
    at = _skip(text, at)
    if text.startswith(end, at):
        return at
    return _expect(text, at, ",")


def _expect(text: str, at: int, character: str) -> int:
    at = _skip(text, at)
    if not text.startswith(character, at):
        raise json.JSONDecodeError(f"Expecting '{character}'", text, at)
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
