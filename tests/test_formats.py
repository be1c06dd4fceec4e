"""JSON or XML, by RFC 9110 §12.5.1, and how each is written."""

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apikeys.edge.formats import MOST_CHARACTERS, Format, negotiate, render

STEADY = settings(deadline=None)  # a busy machine is slow, and that is all it is
JSON, XML, TEXT_XML = Format.JSON, Format.XML, Format.TEXT_XML


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        # One range
        ("application/json", JSON),
        ("application/xml", XML),
        ("text/xml", TEXT_XML),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/*", TEXT_XML),
        ("Application/XML", XML),
        ("text/html", None),
        ("image/*", None),
        ("application/problem+json", None),
        ("application/xhtml+xml", None),
        # Weights
        ("application/json;q=0.5, application/xml", XML),
        ("application/json;q=0.5, application/xml;q=0.4", JSON),
        ("application/xml;q=0.001", XML),
        ("application/json;q=0.999, text/xml;q=1.000", TEXT_XML),
        ("application/json ; q=0.1 , application/xml ; q=0.2", XML),
        ("application/json;Q=0.1, application/xml;Q=0.2", XML),
        ("application/json;\tq=0.1,\tapplication/xml", XML),
        # Ties go to JSON
        ("application/xml, application/json", JSON),
        ("text/xml, application/json", JSON),
        ("application/xml, */*", JSON),
        ("application/xml;q=0.3, application/json;q=0.3", JSON),
        ("text/xml, application/xml", XML),
        # q=0 excludes
        ("application/json;q=0", None),
        ("*/*;q=0", None),
        ("application/json;q=0, */*", XML),
        ("application/json;q=0.000, application/xml;q=0.0, */*;q=0.1", TEXT_XML),
        ("application/*;q=0, */*", TEXT_XML),
        ("*/*;q=0, text/xml", TEXT_XML),
        # The most specific range decides, wherever it stands
        ("application/*, application/json;q=0.1, */*;q=0.9", XML),
        ("*/*, application/*;q=0.2, text/xml;q=0.5", TEXT_XML),
        ("application/json;q=0.2, application/*;q=0.8", XML),
        # Parameters other than q are passed over, but the plain type is closer
        ("application/json;version=1", JSON),
        ("application/xml;charset=utf-8", XML),
        ("application/xml;charset=utf-8;q=0.4, application/json;q=0.3", XML),
        ("application/xml;q=0.4;ext=1, application/json;q=0.3", XML),
        ("application/json;q=0.2, application/json;v=2, application/xml;q=0.5", XML),
        ('application/xml;note="a, b;q=0", application/json;q=0.5', XML),
        ('application/xml;note="\\", application/json", text/xml;q=0.1', XML),
        ("application/xml;;q=0.5;, application/json;q=0.4", XML),
        # What is said twice
        ("application/xml;q=0.2, application/xml;q=0.8, application/json;q=0.5", XML),
        # What cannot be parsed is passed over
        ("application/xml;q=high, application/json;q=0.1", JSON),
        ("application/xml;q=1.1, text/xml;q=0.1", TEXT_XML),
        ("application/xml;q=-1, text/xml", TEXT_XML),
        ("application/xml;q=0.1234, text/xml", TEXT_XML),
        ("application/xml;q, text/xml", TEXT_XML),
        ("application/xml;q=0.1;q=0.9, text/xml", TEXT_XML),
        ("application/xml;q=\u0661, text/xml", TEXT_XML),
        ("*/xml, text/xml", TEXT_XML),
        ("application, text/xml", TEXT_XML),
        ("application/json/xml, text/xml", TEXT_XML),
        ("*, text/xml", TEXT_XML),
        ("app lication/json, text/xml", TEXT_XML),
        ('text/xml, application/xml;a="never closed, application/json', XML),
        # Nothing is left, so it is JSON
        ("", JSON),
        ("   ", JSON),
        (",,, ,", JSON),
        (";q=1", JSON),
        ("rubbish", JSON),
        ("application/xml;q=2", JSON),
        # As clients send it
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8", XML),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", JSON),  # Java 8 to 11
        ("application/json, text/plain, */*", JSON),  # axios
    ],
)
def test_the_format_is_the_one_asked_for(accept: str, expected: Format | None) -> None:
    """None is 406."""
    assert negotiate([accept]) is expected


# RFC 9110 §12.5.1, its examples as they stand there, and with our types in the place of theirs.
@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("audio/*; q=0.2, audio/basic", None),
        ("text/plain; q=0.5, text/html, text/x-dvi; q=0.8, text/x-c", None),
        ("text/*, text/plain, text/plain;format=flowed, */*", JSON),
        (
            "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, "
            "text/plain;format=fixed;q=0.4, */*;q=0.5",
            JSON,
        ),
        ("application/*; q=0.2, application/xml", XML),
        ("application/json; q=0.5, text/html, application/xml; q=0.8, text/x-c", XML),
        (
            "application/*;q=0.3, application/xml;q=0.7, application/xml;format=flowed, "
            "application/xml;format=fixed;q=0.4, application/json;q=0.6, */*;q=0.5",
            XML,
        ),
        (
            "application/*;q=0.3, application/xml;q=0.7, application/xml;format=flowed, "
            "application/xml;format=fixed;q=0.4, application/json;q=0.8, */*;q=0.5",
            JSON,
        ),
    ],
)
def test_the_examples_of_the_rfc_hold(accept: str, expected: Format | None) -> None:
    """§12.5.1."""
    assert negotiate([accept]) is expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], JSON),
        (["", ""], JSON),
        (["application/json;q=0.5", "application/xml"], XML),
        (["application/json;q=0", "*/*;q=0.1"], XML),
        (['text/html;a="never closed', "application/xml"], XML),
        (["text/html", "image/png"], None),
    ],
)
def test_several_header_lines_are_one_list(lines: list[str], expected: Format | None) -> None:
    """RFC 9110 §5.2; a quote that one line leaves open spoils none of the others."""
    assert negotiate(lines) is expected


WEIGHTS = st.integers(0, 1000)
TYPES = ["application/json", "application/xml", "text/xml"]


@STEADY
@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=400), max_size=4))
def test_no_header_is_too_strange(lines: list[str]) -> None:
    """Never an exception."""
    assert negotiate(lines) in {JSON, XML, TEXT_XML, None}


@STEADY
@given(st.lists(st.text('"\\,;=/*q01.a \t', max_size=60), max_size=3))
def test_no_header_of_meaningful_characters_is_too_strange(lines: list[str]) -> None:
    """Never an exception."""
    assert negotiate(lines) in {JSON, XML, TEXT_XML, None}


@STEADY
@given(st.fixed_dictionaries(dict.fromkeys(TYPES, WEIGHTS)), st.randoms())
def test_the_highest_weight_wins_in_any_order_and_zero_never(
    weights: dict[str, int], random: Any
) -> None:
    """Ties go to the one that stands first in our list."""
    ranges = [f"{name};q={weight / 1000:.3f}" for name, weight in weights.items()]
    random.shuffle(ranges)
    highest = max(weights.values())
    expected = next((name for name in TYPES if weights[name] == highest), None)
    chosen = negotiate([", ".join(ranges)])
    assert (chosen and chosen.value) == (expected if highest else None)


@STEADY
@given(st.dictionaries(st.sampled_from([*TYPES, "application/*", "text/*", "*/*"]), WEIGHTS))
def test_each_format_has_the_weight_of_the_most_specific_range_that_covers_it(
    weights: dict[str, int],
) -> None:
    """Against the rule written down naively."""

    def weight(name: str) -> int:
        for covering in (name, name.partition("/")[0] + "/*", "*/*"):
            if covering in weights:
                return weights[covering]
        return 0

    accept = ",".join(f"{name};q={weight / 1000:.3f}" for name, weight in weights.items())
    best = max(TYPES, key=weight)
    expected = "application/json" if not weights else best if weight(best) else None
    chosen = negotiate([accept])
    assert (chosen and chosen.value) == expected


@STEADY
@given(st.text("abc/;=q0.1 ", max_size=40), st.sampled_from([JSON, XML, TEXT_XML]))
def test_a_range_that_covers_none_of_ours_changes_nothing(rubbish: str, asked: Format) -> None:
    """Whether it can be parsed or not."""
    assert negotiate([f"{asked.value}, {rubbish}"]) is asked


def test_a_longer_one_is_disregarded() -> None:
    """Over HTTP/2 servers take 16 MB, and one call would hold up everybody else's for seconds."""
    assert negotiate(["text/xml".ljust(MOST_CHARACTERS)]) is TEXT_XML
    assert negotiate(["text/xml".ljust(MOST_CHARACTERS + 1)]) is JSON
    assert negotiate(["text/xml", "image/png".ljust(MOST_CHARACTERS)]) is JSON


@pytest.mark.parametrize(
    ("chosen", "content_type"),
    [
        (JSON, b"application/json"),
        (XML, b"application/xml; charset=utf-8"),
        (TEXT_XML, b"text/xml; charset=utf-8"),
    ],
)
def test_each_format_is_labelled_as_it_was_asked_for(chosen: Format, content_type: bytes) -> None:
    """`text/xml` too."""
    assert chosen.content_type == content_type


def test_json_is_compact_and_readable() -> None:
    """UTF-8, not escapes."""
    assert render({"name": "Спорт", "list": [1, 2.5, True, None]}, JSON) == (
        '{"name":"Спорт","list":[1,2.5,true,null]}'.encode()
    )


def test_xml_is_the_json_element_for_member() -> None:
    """A list's entries are items."""
    value = {"data": {"name": "A & B <c>", "scopes": ["x", "y"], "none": [], "n": 6, "is": True}}
    assert render(value, XML).decode() == (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        "<response><data><name>A &amp; B &lt;c&gt;</name>"
        "<scopes><item>x</item><item>y</item></scopes><none></none>"
        "<n>6</n><is>true</is></data></response>"
    )


def test_an_error_in_xml_has_a_root_of_its_own() -> None:
    """`<error>`."""
    body = render({"detail": "No.", "code": "no", "request_id": None}, TEXT_XML, root="error")
    assert body.decode().endswith(
        "<error><detail>No.</detail><code>no</code><request_id></request_id></error>"
    )


def test_a_member_that_xml_cannot_name_is_refused() -> None:
    """Better than a document that no parser reads."""
    with pytest.raises(ValueError, match="cannot be the name"):
        render({"1 < 2": "x"}, XML)


@pytest.mark.parametrize("character", ["\x00", "\x08", "\x1b", "\ufffe", "\uffff", "\ud800"])
def test_characters_that_xml_cannot_hold_are_replaced(character: str) -> None:
    """XML 1.0 §2.2."""
    root = ET.fromstring(render({"name": f"a{character}b"}, XML))  # noqa: S314
    assert root.findtext("name") == "a\ufffdb"


@STEADY
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_from_json(text: str) -> None:
    """Nothing is lost."""
    assert json.loads(render({"name": text}, JSON)) == {"name": text}


@STEADY
@given(st.text(st.characters(codec=None)))
def test_any_text_at_all_can_be_written(text: str) -> None:
    """Lone surrogates too; both are UTF-8 that a parser reads."""
    assert json.loads(render({"name": text}, JSON)) == {"name": text}
    ET.fromstring(render({"name": text}, XML))  # noqa: S314


@STEADY
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")))
def test_any_printable_text_comes_back_from_xml(text: str) -> None:
    """Nothing is lost."""
    root = ET.fromstring(render({"name": text}, XML))  # noqa: S314
    assert (root.findtext("name") or "") == text


def test_line_ends_come_back_from_xml() -> None:
    """A parser turns a bare carriage return into a line feed; an escaped one stays."""
    root = ET.fromstring(render({"name": "a\r\nb\rc\td"}, XML))  # noqa: S314
    assert root.findtext("name") == "a\r\nb\rc\td"
