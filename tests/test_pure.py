"""`{% pure %}`: rendered once for what it shows, never out of date, blind to its surroundings."""

import dataclasses
import datetime as dt
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from django.template import Context, Engine, TemplateSyntaxError
from django.test import Client
from django.utils import timezone, translation
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from accounts.models import Membership, Tenant, User
from portal.launch.environment import ROOT
from portal.lib import clock
from portal.templatetags.pure import Kept
from tests.conftest import signed_in
from tests.pages import Page, text

Render = Callable[..., str]
NOON = dt.datetime(2026, 5, 3, 12, tzinfo=dt.UTC)


class Row(NamedTuple):
    """Says how often it was rendered."""

    name: str
    asked: str = ""

    @property
    def shouted(self) -> str:
        """In capitals."""
        TURNS.append(self.name)
        return self.name.upper()


TURNS: list[str] = []


@pytest.fixture(autouse=True)
def _no_turns() -> Iterator[None]:
    TURNS.clear()
    yield


def render(source: str, within: str, **context: Any) -> str:
    """A page that includes `source`, as `row.html` of its own, given what `within` says."""
    name = f"{uuid.uuid5(uuid.NAMESPACE_OID, source)}.html"
    engine = Engine(
        loaders=[("django.template.loaders.locmem.Loader", {name: source})],
        libraries={
            "pure": "portal.templatetags.pure",
            "i18n": "django.templatetags.i18n",
            "tz": "django.templatetags.tz",
        },
    )
    page = f'{{% load pure %}}{{% pure "{name}" {within} %}}'
    return engine.from_string(page).render(Context(context))


def test_it_is_rendered_once_for_what_it_shows() -> None:
    row = "once {{ row.shouted }}"
    for name in ("ace", "ace", "clutch", "ace"):
        assert render(row, "with row=row", row=Row(name)) == f"once {name.upper()}"
    assert TURNS == ["ace", "clutch"]


def test_whatever_changes_in_it_is_shown_at_once() -> None:
    """Even what the template does not show is part of what it was given."""
    row = "fresh {{ row.shouted }} {{ row.asked }}"
    assert render(row, "with row=row", row=Row("ace", "1")) == "fresh ACE 1"
    assert render(row, "with row=row", row=Row("ace", "2")) == "fresh ACE 2"


def test_each_language_and_each_zone_has_its_own() -> None:
    moment = '{% load i18n %}{% translate "Team" %} {{ at|date:"H:i T" }}'
    with translation.override("en"):
        assert render(moment, "with at=at", at=NOON) == "Team 12:00 UTC"
        with timezone.override(clock.zone("Europe/Moscow")):
            assert render(moment, "with at=at", at=NOON) == "Team 15:00 MSK"
    with translation.override("ru"):
        assert render(moment, "with at=at", at=NOON) == "Команда 12:00 UTC"


def test_no_template_changes_language_or_zone_in_its_midst() -> None:
    """They are asked once for a page."""
    changes = re.compile(r"{%\s*(?:language|timezone|localtime|localize)\b")
    paths = (ROOT / "templates").rglob("*.html")
    assert [path.name for path in paths if changes.search(path.read_text())] == []


@dataclasses.dataclass
class Changeable:
    """Not frozen."""

    name: str


@dataclasses.dataclass(frozen=True)
class Lasting:
    """Frozen, whatever it holds."""

    held: Any


def test_what_could_change_unseen_is_refused(acme: Tenant) -> None:
    """A row's object is equal to a newer one of the same row."""
    refused = [acme, Lasting(acme), (acme,), Lasting((1, acme)), gettext_lazy("Team")]
    for value in refused:
        with pytest.raises(TypeError, match="could change unseen"):
            render("refused {{ value }}", "with value=value", value=value)
    for value in ([1], {"a": 1}, Changeable("ace")):
        with pytest.raises(TypeError):
            render("refused {{ value }}", "with value=value", value=value)


def test_plain_values_are_taken() -> None:
    for value in (None, True, 3, "x", NOON, NOON.date(), uuid.UUID(int=7), Row("ace"), Lasting(1)):
        assert render("taken {{ value }}", "with value=value", value=value).startswith("taken ")


def test_what_is_equal_and_reads_otherwise_is_not_mixed_up() -> None:
    for value, shown in ((True, "True"), (1, "1"), (1.0, "1.0"), (True, "True")):
        assert render("same {{ value }}", "with value=value", value=value) == f"same {shown}"


def test_what_people_write_is_escaped_whoever_came_first() -> None:
    """Markup is equal to the text that it is made of."""
    written, markup = "<b>", mark_safe("<b>")
    for value, shown in ((markup, "<b>"), (written, "&lt;b&gt;"), (markup, "<b>")):
        assert render("x {{ value }}", "with value=value", value=value) == f"x {shown}"
    with pytest.raises(TypeError):
        render("y {{ row.name }}", "with row=row", row=Row(markup))
    assert render("y {{ row.name }}", "with row=row", row=Row(written)) == "y &lt;b&gt;"


def test_it_sees_nothing_but_what_it_is_given() -> None:
    assert render("only {{ a }}{{ b }}", "with a=a", a=1, b=2, request=3) == "only 1"
    assert render("without {{ a }}", "", a=1) == "without "


def test_a_tag_that_makes_no_sense_is_an_error() -> None:
    for within in ("with", "for row", "with a=1 b"):
        with pytest.raises(TemplateSyntaxError):
            render("wrong", within)


def test_the_token_of_a_form_is_each_askers_own(alice: User, dave: User) -> None:
    """It is put in after what is kept, and masked anew each time."""
    tokens = [
        Page(client.get("/client/")).fields["csrfmiddlewaretoken"]
        for client in (signed_in(alice), signed_in(dave), signed_in(dave))
    ]
    assert len(set(tokens)) == 3
    client = Client(enforce_csrf_checks=True)
    client.cookies = signed_in(alice).cookies
    page = Page(client.get("/client/"))
    for _ in range(20):
        token = Page(client.get("/client/")).fields["csrfmiddlewaretoken"]
        assert token != page.fields["csrfmiddlewaretoken"]
        answer = client.post("/client/switch-tenant", {"csrfmiddlewaretoken": token})
        assert answer.status_code == 302
    spoiled = token[:-1] + ("a" if token[-1] != "a" else "b")
    refused = client.post("/client/switch-tenant", {"csrfmiddlewaretoken": spoiled})
    assert refused.status_code == 403


def test_a_page_shows_what_is_so_now(acme: Tenant, alice: User, dave: User) -> None:
    """Of the team, every column that can change."""
    client = signed_in(alice)
    assert "dave@example.com Developer" in text(client.get("/client/team"))
    Membership.objects.filter(user=dave).update(role="trader")
    assert "dave@example.com Trader" in text(client.get("/client/team"))
    User.objects.filter(pk=dave.pk).update(name="David", email="d@example.com", is_active=False)
    assert "David Dave d@example.com Trader Disabled" in text(client.get("/client/team"))
    User.objects.filter(pk=alice.pk).update(language="ru", time_zone="Europe/Moscow")
    User.objects.filter(pk=dave.pk).update(last_login=NOON)
    page = text(client.get("/client/team"))
    assert "Трейдер" in page and "2026-05-03 15:00 MSK" in page
    Tenant.objects.filter(pk=acme.pk).update(name="Acme & Sons")
    assert "Acme & Sons" in text(client.get("/client/team"))


def test_what_is_kept_is_bounded_and_what_is_asked_for_stays() -> None:
    kept = Kept(most=1000)
    for number in range(100):
        kept.put(number, "x" * 100)
        assert kept.get(0) == "x" * 100
    assert sum(kept.get(number) is not None for number in range(100)) == 10
    kept.put("large", "x" * 2000)
    assert kept.get("large") is None
