"""The portal speaks Russian whole: what a source says, `locale/` has, and nothing besides."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polib
import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import label_for_field
from django.db import models
from django.test import RequestFactory
from django.utils import translation
from django.utils.translation.template import templatize

from accounts.models import User
from accounts.staff import StaffAdmin
from apikeys.models import ApiKey
from markets.models import TenantMarkets
from portal.launch.environment import ROOT

PACKAGES = ["accounts", "markets", "apikeys", "portal"]
RUSSIAN = ROOT / "locale" / "ru" / "LC_MESSAGES" / "django.po"
CYRILLIC = re.compile("[а-яё]", re.IGNORECASE)
# A context, if there is one, and the message: what identifies it.
Message = tuple[str | None, str]
# A function of gettext's by its place in `django.utils.translation`, without `_lazy` and `_noop`:
# where its context and its message stand among what it is given.
ARGUMENTS = {"gettext": (None, 0), "ngettext": (None, 0), "pgettext": (0, 1), "npgettext": (0, 1)}
LITERAL = r"""u?(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
# A template's messages as `templatize` leaves them, amid text that is no Python.
SAID = re.compile(rf"\b(\w*gettext|_)\(({LITERAL}(?:, *{LITERAL})*)")
# What has to stand in a translation as it stands in the message: values and tags.
FIXED = re.compile(r"%\(\w+\)[a-z]|%%|\{\w*\}|</?\w+[^>]*>")
# Names that are no words of a language.
SAME_IN_RUSSIAN = {"amqp", "e-mail"}


@pytest.fixture(scope="module")
def catalogue() -> polib.POFile:
    return polib.pofile(str(RUSSIAN))


@pytest.fixture(scope="module")
def said() -> dict[Message, Path]:
    """Each message of the sources, and a file that says it."""
    found: dict[Message, Path] = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if "migrations" not in path.parts:
                found |= dict.fromkeys(in_python(path.read_text()), path)
    for path in (ROOT / "templates").rglob("*"):
        if path.suffix in {".html", ".txt"}:
            found |= dict.fromkeys(in_template(path.read_text()), path)
    assert len({path.suffix for path in found.values()}) == 3
    return found


def in_python(source: str) -> Iterator[Message]:
    """The messages of a module, whatever name it has given to gettext's functions."""
    tree = ast.parse(source)
    names = {
        alias.asname or alias.name: re.sub("_(lazy|noop)$", "", alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation"
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            function = names.get(node.func.id)
            values = [each.value for each in node.args if isinstance(each, ast.Constant)]
            if function in ARGUMENTS and values:
                yield message_of(function, values)


def in_template(source: str) -> Iterator[Message]:
    """The messages of a template, read by Django's own reader, which needs no gettext."""
    for function, values in SAID.findall(templatize(source)):
        name = "gettext" if function == "_" else function
        yield message_of(name, [ast.literal_eval(each) for each in re.findall(LITERAL, values)])


def message_of(function: str, values: list[Any]) -> Message:
    """Among the arguments of a call."""
    context, text = ARGUMENTS[function]
    return (None if context is None else values[context]), values[text]


def test_every_message_is_in_russian(catalogue: polib.POFile, said: dict[Message, Path]) -> None:
    """None is missing, empty, or a guess that nobody has looked at."""
    translated = {(e.msgctxt, e.msgid) for e in catalogue if e.translated() and not e.fuzzy}
    missing = {text: str(said[_, text].relative_to(ROOT)) for _, text in said.keys() - translated}

    assert missing == {}, f"not in {RUSSIAN.relative_to(ROOT)}"


def test_nothing_is_translated_that_nobody_says(
    catalogue: polib.POFile, said: dict[Message, Path]
) -> None:
    entries = [(e.msgctxt, e.msgid) for e in catalogue]

    assert [text for _, text in entries if (_, text) not in said] == []
    assert len(set(entries)) == len(entries)


def test_values_and_tags_are_the_same_in_both_languages(catalogue: polib.POFile) -> None:
    """A value that is missing would be a silent gap, one too many an error of the page's."""
    wrong = {}
    for entry in catalogue:
        given = sorted(FIXED.findall(entry.msgid_plural or entry.msgid))
        for text in entry.msgstr_plural.values() if entry.msgid_plural else [entry.msgstr]:
            if sorted(FIXED.findall(text)) != given:
                wrong[entry.msgid] = text

    assert wrong == {}


def test_russian_counts_in_three_forms(catalogue: polib.POFile) -> None:
    forms = {e.msgid: len(e.msgstr_plural) for e in catalogue if e.msgid_plural}

    assert set(forms.values()) == {3}
    assert "nplurals=3;" in catalogue.metadata["Plural-Forms"]


def test_the_panel_names_its_things_in_russian() -> None:
    """Models, columns, fields; and what else an audit event can be about."""
    request = RequestFactory().get("/staff/")
    request.user = User(is_staff=True)
    with translation.override("ru"):
        names = [name for model in (ApiKey, TenantMarkets) for name in names_of(model)]
        for model, part in admin.site._registry.items():
            names += names_of(model)
            names += labels_of(part, request)
        names += [str(apps.get_app_config(package).verbose_name) for package in PACKAGES[:3]]

    english = {name for name in names if not CYRILLIC.search(name)}
    assert {name for name in english if name.lower() not in SAME_IN_RUSSIAN} == set()


def names_of(model: type[models.Model]) -> list[str]:
    """One of them, several of them."""
    return [str(model._meta.verbose_name), str(model._meta.verbose_name_plural)]


def labels_of(part: Any, request: Any) -> list[str]:
    """What stands above a list's columns and beside a row's fields."""
    assert isinstance(part, StaffAdmin)
    fields = {*part.get_fields(request), *part.get_fields(request, part.model())}
    typed = getattr(part.form, "base_fields", {})
    return [str(typed[name].label) for name in fields & typed.keys()] + [
        str(label_for_field(name, part.model, part))
        for name in {*part.list_display, *fields} - typed.keys()
    ]
