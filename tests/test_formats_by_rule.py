"""`Accept` against the rules of RFC 9110 §12.5.1 written down plainly; and very long ones."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apikeys.edge.formats import Format, negotiate

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
WEIGHT = r"0(\.[0-9]{0,3})?|\.[0-9]{1,3}|1(\.0{0,3})?"

Asked = tuple[str, bool, float]  # a range, has it parameters other than q, its weight


def plainly(lines: list[str]) -> Format | None:
    """The format, by one rule after the other."""
    asked = [found for line in lines for found in map(read, apart(line, ",")) if found]
    best = max(Format, key=lambda each: weight(asked, each))
    return Format.JSON if not asked else best if weight(asked, best) else None


def read(element: str) -> Asked | None:
    """One of the list; None for what cannot be read."""
    media_range, *parameters = (part.strip(" \t") for part in apart(element, ";"))
    named = [(each.partition("=")[0].strip(" \t"), each) for each in parameters]
    weights = [each.partition("=")[2].strip(" \t") for name, each in named if name in ("q", "Q")]
    is_weighed = not weights or (len(weights) == 1 and re.fullmatch(WEIGHT, weights[0]))
    is_range = re.fullmatch(f"{TOKEN}/{TOKEN}", media_range)
    if not is_weighed or not is_range or (media_range[0:2] == "*/" and media_range != "*/*"):
        return None
    has_others = any(name not in ("", "q", "Q") for name, _ in named)
    return media_range.lower(), has_others, float(weights[0]) if weights else 1


def weight(asked: list[Asked], chosen: Format) -> float:
    """The highest of the most specific range that covers it; 0 where none does."""
    name = chosen.value
    for covering in ({(name, False)}, {(name, True)}, of_any(name.partition("/")[0]), of_any("*")):
        if found := [each[2] for each in asked if each[:2] in covering]:
            return max(found)
    return 0


def of_any(kind: str) -> set[tuple[str, bool]]:
    """The range of all of a kind, whatever parameters it has."""
    return {(f"{kind}/*", False), (f"{kind}/*", True)}


def apart(text: str, separator: str) -> list[str]:
    """The parts between the separators, but for those in quotes."""
    parts, is_quoted, is_escaped = [""], False, False
    for character in text:
        if character == separator and not is_quoted:
            parts.append("")
            continue
        parts[-1] += character
        if is_escaped:
            is_escaped = False
        elif character == '"':
            is_quoted = not is_quoted
        else:
            is_escaped = is_quoted and character == "\\"
    return parts


PIECES = ["application/json", "application/xml", "text/xml", "application/*", "text/*", "*/*"]
PIECES += ["TEXT/XML", "a/b", "*/b", "a", "=", "a=1", "q=", "Q", "q=.3", "q=0.1234", "0", "1", ".5"]
PIECES += [*";;;;,,,,", *'""\\', " ", "\t", "\n", "\xa0"]


@settings(max_examples=500)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=20).map("".join), max_size=3))
def test_every_header_is_read_by_the_rules(lines: list[str]) -> None:
    """Quotes, blanks, weights and rubbish in any place; several lines are one list."""
    assert negotiate(lines) is plainly(lines)


FILLERS = [
    ",",
    " ,",
    ";",
    "; ",
    " ",
    "a",
    "a/",
    "a/b,",
    "a,",
    ",*/*",
    ",*/*;a",
    ",*/*;q=.5",
    ";q=1",
]
FILLERS += [",*/*;q", '"', '",', '",",', '"\\', "\\", '"a\\",', ';a="', "*/*;;"]


@pytest.mark.parametrize("filler", FILLERS)
@pytest.mark.parametrize("begins", ["", "text/xml", '"', '*/*;a="'])
def test_a_long_header_is_read_to_its_end(filler: str, begins: str) -> None:
    """400 kB, as much as a server takes, say what the same says twice; in one line or in many."""
    end = ", text/xml;q=0.4, application/xml;q=0.5"
    long = begins + filler * 2 * (200_000 // len(filler))
    short = begins + filler * 2
    assert negotiate([long + end]) is plainly([short + end])
    many = [begins + filler * 100] * (4000 // len(filler))
    assert negotiate([*many, end]) is plainly([short, end])
