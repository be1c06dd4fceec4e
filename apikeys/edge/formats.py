"""JSON or XML: which of them a client asked for (RFC 9110 §12.5.1), and how each is written."""

import json
import re
from collections.abc import Mapping, Sequence
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

# None of these can try a long text in many ways: what follows a run of characters is never one of
# them. Possessive quantifiers would say so, but before Python 3.11.5 those of groups are broken.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's word, no secret
# RFC 9110 §12.4.2, and a point without its zero: Java 8 to 11 send `*/*; q=.2` of themselves.
_WEIGHT = re.compile(
    r"=[ \t]*(0(?:\.[0-9]{0,3})?|\.[0-9]{1,3}|1(?:\.0{0,3})?)[ \t]*(?=;|\Z)", re.ASCII
)
_Q = re.compile(r";[ \t]*[qQ][ \t]*(?=[=;]|\Z)")


def _element(media_range: str) -> re.Pattern[str]:
    """An element of the list: the range, and its parameters."""
    return re.compile(
        rf",[ \t]*({media_range})[ \t]*((?:;[^,]*)?)(?=,|\Z)", re.IGNORECASE | re.ASCII
    )


_OURS = _element("|".join(map(re.escape, _RANGES)))
_ANY = _element(rf"(?!\*/){_TOKEN}/{_TOKEN}")
_HAS_NAME = re.compile(r";[ \t]*[^=; \t]")
_NOTHING = re.compile(r",[, \t]+")  # between two elements, or in the place of some

_SHORT = 256  # characters; what is longer is not worth remembering
# In all lines; more than Granian takes over HTTP/1.1 (408 kB), far less than over HTTP/2 (16 MB).
# Reading one takes a fifth of a microsecond at the worst, so little longer than the same bytes take
# as ordinary calls; but other calls wait until all are read.
MOST_CHARACTERS = 2**19


def negotiate(lines: Sequence[str]) -> Format | None:
    """The format for a client that sent these `Accept` lines; None where none is acceptable.

    Of several ranges that cover a format the most specific decides, and of its weights the
    highest; q=0 excludes; ties go to JSON. Parameters other than q are passed over, and so are
    ranges that cannot be parsed. Where nothing is left (no header, an empty one, rubbish) it is
    JSON. More than MOST_CHARACTERS are disregarded, as RFC 9110 leaves it to a server: JSON too.
    The time that it takes grows with their number, and no faster.
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
    """What stands in quotes says nothing to us."""
    text = _NOTHING.sub(",", ",".join(["", *map(_without_quoted, lines)]))
    asked: dict[tuple[str, bool], int] = {}
    for element in _OURS.finditer(text):
        media_range, parameters = element.groups()
        if (read := _read(parameters)) is not None:
            thousandths, has_others = read
            which = (media_range.lower(), has_others)
            asked[which] = max(asked.get(which, 0), thousandths)
    if not asked:
        is_readable = any(_read(element[2]) for element in _ANY.finditer(text))
        return None if is_readable else Format.JSON
    found: dict[Format, tuple[int, int]] = {}
    for (media_range, has_others), thousandths in asked.items():
        rank, covered = _RANGES[media_range]
        rank = min(rank, _WITH_PARAMETERS) if has_others else rank
        for each in covered:
            found[each] = max(found.get(each, (0, 0)), (rank, thousandths))
    best = max(Format, key=lambda each: found.get(each, (0, 0))[1])  # the first of equal ones
    return best if found.get(best, (0, 0))[1] else None


def _read(parameters: str) -> tuple[int, bool] | None:
    """Of an element its weight in thousandths, and whether it has parameters besides q.

    None where it cannot be parsed: q without a weight that is one, or twice.
    """
    if not parameters:
        return 1000, False
    q = _Q.search(parameters)
    if q is None:
        return 1000, _HAS_NAME.search(parameters) is not None
    weight = _WEIGHT.match(parameters, q.end())
    if weight is None or _Q.search(parameters, weight.end()):
        return None
    others = parameters[: q.start()] + parameters[weight.end() :]
    return round(float(weight[1]) * 1000), _HAS_NAME.search(others) is not None


def _without_quoted(line: str) -> str:
    """With `""` in the place of each quoted string (RFC 9110 §5.6.4); the last may be left open."""
    first, *others = line.split('"')
    parts, is_open, is_escaped = [first], False, False
    for piece in others:  # there is a quotation mark before each
        if is_open and not is_escaped:
            is_open = False
            parts.append(piece)
            continue
        if not is_open:
            is_open = True
            parts.append('""')
        is_escaped = (len(piece) - len(piece.rstrip("\\"))) % 2 == 1
    return "".join(parts)


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
