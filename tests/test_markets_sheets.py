"""Choices out and in as CSV: bad lines are named, and what is good goes through the review."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import Tenant, User
from markets.state import state_of
from tests.conftest import signed_in
from tests.markets import disabled, many_types, switch
from tests.pages import Page, text

pytestmark = pytest.mark.usefixtures("catalogue")

MARKETS = "/client/markets"


def upload(client: Client, text: str | bytes) -> Any:
    """Send a file to the import."""
    content = text.encode() if isinstance(text, str) else text
    return client.post(f"{MARKETS}/import", {"file": SimpleUploadedFile("m.csv", content)})


def test_what_is_downloaded_can_be_changed_and_imported_through_the_review(
    acme: Tenant, tina: User
) -> None:
    switch(acme, tina, ace="off")
    client = signed_in(tina)
    answer = client.get(f"{MARKETS}.csv")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="acme-markets-1.csv"'
    sheet = answer.content.decode()
    assert "ace,off,off,cs2.kills,Ace in round," in sheet and sheet.count("\n") == 59
    sheet = sheet.replace("awp_kill,default", "awp_kill,OFF").replace("ace,off", "ace,default")
    reviewed = Page(upload(client, sheet))
    assert "Goes on (1) Ace in round" in reviewed.text
    assert "Goes off (1) AWP kill in round" in reviewed.text
    assert state_of(acme).revision == 1
    client.post(f"{MARKETS}/apply", reviewed.fields)
    assert disabled(acme) == (2, ["awp_kill"])


def test_three_bad_lines_of_500_are_named_and_nothing_is_applied(
    acme: Tenant, tina: User, tmp_path: Any
) -> None:
    many_types(tmp_path, 500)
    lines = ["code,choice", *[f"type_{n:03},off" for n in range(500)]]
    lines[100], lines[200], lines[300] = "nonsense,off", "type_199,perhaps", "type_007,on"
    client = signed_in(tina)
    page = Page(upload(client, "\n".join(lines)))
    assert "line 101: there is no type “nonsense”." in page.text
    assert "line 201: “perhaps” is no choice: default, on or off." in page.text
    assert "line 301: “type_007” is on line 9 already." in page.text
    assert page.text.count("line ") == 2 * 4 and state_of(acme).revision == 0
    lines[100], lines[200], lines[300] = "type_099,off", "type_199,off", "type_299,off"
    reviewed = Page(upload(client, "\n".join(lines)))
    assert "Goes off (500)" in reviewed.text
    client.post(f"{MARKETS}/apply", reviewed.fields)
    assert state_of(acme).revision == 1 and len(disabled(acme)[1]) == 558


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "The submitted file is empty."),
        ("\n", "the columns “code” and “choice” should be named here"),
        ("code,choice\n", "There is no choice in this file."),
        ("code,choice,Choice\nace,off,on\n", "“code” and “choice” should be named once."),
        ("ace,off\n", "the columns “code” and “choice” should be named here"),
        ("code,choice\nace", "“” is no choice"),
        ('code,choice\n"ace,off\n', "This is no CSV file."),
        ("code,choice\nace,off\x00\n", "This is no CSV file."),
        (b"code,choice\n\xff\xfe,off\n", "This file is not UTF-8."),
        ("code,choice\n" + "x,off\n" * 90_000, "This file is too large."),
        ("code,choice\n" + "x,off\n" * 60, "And 10 more lines like these."),
    ],
)
def test_a_file_that_is_none_is_refused_in_words(
    acme: Tenant, tina: User, content: str | bytes, said: str
) -> None:
    answer = upload(signed_in(tina), content)
    assert answer.status_code == 200 and said in text(answer)
    assert state_of(acme).revision == 0


def test_a_spreadsheets_own_ways_are_understood(acme: Tenant, tina: User) -> None:
    """A mark at the beginning, semicolons, other columns, capitals, empty lines."""
    sheet = "\ufeffName; Choice ;CODE\r\nx; Off ;ace\r\n;;\r\n\r\n"
    assert "Goes off (1) Ace in round" in text(upload(signed_in(tina), sheet))
