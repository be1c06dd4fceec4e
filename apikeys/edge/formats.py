"""JSON or XML: which of them a client asked for (RFC 9110 §12.5.1), and how each is written."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Self


class Format(Enum):
    """The media types that answers come in, the preferred one first.

    value: the media type. content_type: as the header has it; JSON is always UTF-8 and has no
    charset (RFC 8259 §8.1).
    """

    JSON = ("application/json", b"application/json")
    XML = ("application/xml", b"application/xml; charset=utf-8")
    TEXT_XML = ("text/xml", b"text/xml; charset=utf-8")

    _value_: str
    content_type: bytes

    def __new__(cls, media_type: str, content_type: bytes) -> Self:
        each = object.__new__(cls)
        each._value_ = media_type
        each.content_type = content_type
        return each

    # Enum's own is written in Python, and this is asked with every call.
    __hash__ = object.__hash__


# Media range → how specific it is, and which of the formats it covers.
_RANGES: Mapping[str, tuple[int, tuple[Format, ...]]] = {
    "*/*": (0, tuple(Format)),
    "application/*": (1, (Format.JSON, Format.XML)),
    "text/*": (1, (Format.TEXT_XML,)),
    **{each.value: (3, (each,)) for each in Format},
}
_WITH_PARAMETERS = 2  # `application/json;v=1` covers our JSON less exactly than `application/json`

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's word, no secret
_MEDIA_RANGE = re.compile(rf"\*/\*|(?!\*/){_TOKEN}/{_TOKEN}")
# RFC 9110 §12.4.2, and a point without its zero: Java 8 to 11 send `*/*; q=.2` of themselves.
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|\.[0-9]{1,3}|1(?:\.0{0,3})?")
_MARKS = {",": re.compile(r'[\\",]'), ";": re.compile(r'[\\";]')}
_BLANKS = " \t"
_SHORT = 256  # characters; what is longer is not worth remembering
# In all lines. Reading one takes half a microsecond, and servers take 400 kB: somebody without a
# key could hold up everybody else's calls with those. Browsers send some 200.
MOST_CHARACTERS = 2048


def negotiate(lines: Sequence[str]) -> Format | None:
    """The format for a client that sent these `Accept` lines; None where none is acceptable.

    Of several ranges that cover a format the most specific decides, and of its weights the
    highest; q=0 excludes; ties go to JSON. Parameters other than q are passed over, and so are
    ranges that cannot be parsed. Where nothing is left (no header, an empty one, rubbish) it is
    JSON. More than MOST_CHARACTERS are disregarded, as RFC 9110 leaves it to a server: JSON too.
    """
    if not lines:
        return Format.JSON
    if len(lines) == 1 and len(lines[0]) <= _SHORT:
        return _negotiate_short(lines[0])
    if sum(map(len, lines)) > MOST_CHARACTERS:
        return Format.JSON
    return _negotiate(lines)


@lru_cache(maxsize=1024)
def _negotiate_short(line: str) -> Format | None:
    return _negotiate([line])


def _negotiate(lines: Sequence[str]) -> Format | None:
    is_anything_asked = False
    found: dict[Format, tuple[int, int]] = {}
    for line in lines:
        for media_range, weight, has_parameters in _parse(line):
            is_anything_asked = True
            rank, covered = _RANGES.get(media_range, (0, ()))
            if has_parameters:
                rank = min(rank, _WITH_PARAMETERS)
            for each in covered:
                found[each] = max(found.get(each, (0, 0)), (rank, weight))
    if not is_anything_asked:
        return Format.JSON
    best = max(Format, key=lambda each: found.get(each, (0, 0))[1])  # the first of equal ones
    return best if found.get(best, (0, 0))[1] else None


def _parse(line: str) -> Iterator[tuple[str, int, bool]]:
    """Each readable range in lower case, its weight in thousandths, has it other parameters."""
    for element in _split(line, ","):
        first, *parameters = _split(element, ";")
        media_range = first.strip(_BLANKS).lower()
        if not _MEDIA_RANGE.fullmatch(media_range):
            continue
        weights = []
        has_others = False
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip(_BLANKS) in ("q", "Q"):
                weights.append(value.strip(_BLANKS))
            elif name.strip(_BLANKS):
                has_others = True
        if len(weights) > 1 or not all(_WEIGHT.fullmatch(weight) for weight in weights):
            continue
        thousandths = round(float(weights[0]) * 1000) if weights else 1000
        yield media_range, thousandths, has_others


def _split(text: str, separator: str) -> list[str]:
    """The parts between the separators that stand outside of quoted strings (RFC 9110 §5.6.4)."""
    if '"' not in text:
        return text.split(separator)
    parts = []
    start = resume = 0
    is_quoted = False
    for mark in _MARKS[separator].finditer(text):
        at = mark.start()
        if at < resume:  # it follows a backslash
            continue
        if mark[0] == "\\":
            resume = at + 2 if is_quoted else at
        elif mark[0] == '"':
            is_quoted = not is_quoted
        elif not is_quoted:
            parts.append(text[start:at])
            start = at + 1
    parts.append(text[start:])
    return parts


Value = Mapping[str, "Value"] | Sequence["Value"] | str | int | float | bool | None

_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_ILLEGAL_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_XML_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
# A parser would turn a bare carriage return into a line feed (XML 1.0 §2.11).
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})


def render(value: Mapping[str, Value], chosen: Format, root: str = "response") -> bytes:
    """The value as UTF-8. root: XML's outermost element, `response` or `error`.

    XML is the JSON, element for member; a list's entries are `<item>`. Characters that XML 1.0
    cannot hold become U+FFFD. ValueError for a member whose name is no name in XML.
    """
    if chosen is Format.JSON:
        # A lone surrogate, which UTF-8 cannot hold, becomes JSON's own escape for it.
        return _encode_json(value).encode("utf-8", "backslashreplace")
    parts = ['<?xml version="1.0" encoding="utf-8"?>\n']
    _write_element(parts, root, value)
    return "".join(parts).encode("utf-8")


def _write_element(parts: list[str], name: str, value: Value) -> None:
    if not _XML_NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of an XML element")
    parts.append(f"<{name}>")
    if isinstance(value, Mapping):
        for member, inner in value.items():
            _write_element(parts, member, inner)
    elif isinstance(value, str):
        parts.append(_ILLEGAL_IN_XML.sub("\ufffd", value).translate(_ESCAPES))
    elif isinstance(value, Sequence):
        for inner in value:
            _write_element(parts, "item", inner)
    elif value is not None:
        parts.append(_encode_json(value))
    parts.append(f"</{name}>")
