"""The rules of the house that no linter knows: STYLE.md says them, these hold them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import AuditEvent, Role, Session, Tenant, User
from accounts.origin import COMMAND_LINE
from accounts.services.invitations import invite
from apikeys.models import Contract, KeyUse
from markets.state import state_of
from portal.launch.environment import ROOT
from portal.lib import clock
from tests.conftest import MakeKey, make_member, signed_in
from tests.markets import all_codes, switch

PYTHON_LINES = 350
JAVASCRIPT_LINES = 40
FUNCTION_LINES = 50
MOST_QUERIES = 6
PACKAGES = ["accounts", "markets", "apikeys", "portal", "examples"]
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def files(pattern: str, *folders: str) -> list[Path]:
    """Files of the project, without migrations, which are made by a program."""
    found = [path for folder in folders for path in (ROOT / folder).rglob(pattern)]
    assert found
    return [path for path in found if "migrations" not in path.parts]


def short(path: Path) -> str:
    """As people name it."""
    return str(path.relative_to(ROOT))


def too_long(paths: list[Path], most: int) -> dict[str, int]:
    """Which have more lines, and how many."""
    lengths = {short(path): len(path.read_text().splitlines()) for path in paths}
    return {name: length for name, length in lengths.items() if length > most}


def test_files_are_short() -> None:
    """One is split before it is hard to hold in the head."""
    assert too_long(files("*.py", *PACKAGES, "tests"), PYTHON_LINES) == {}
    assert too_long(files("*.js", "static"), JAVASCRIPT_LINES) == {}


@pytest.mark.parametrize(
    "pattern",
    [
        r"<style\b",
        r"\sstyle=",
        r"\son[a-z]+=",
        r"javascript:",
        r"<script(?![^>]*\bsrc=)",
        r"""\b(?:src|href|action)=["'](?:https?:)?//""",
        r"<(?:iframe|object|embed)\b",
        r"<meta[^>]*http-equiv",
    ],
)
def test_templates_hold_no_inline_script_or_style_and_fetch_nothing(pattern: str) -> None:
    """The policy would refuse it anyway; here it is said by name. Mails hold none either."""
    found = [
        f"{short(path)}: {line.strip()}"
        for path in files("*.html", "templates")
        for line in path.read_text().splitlines()
        if re.search(pattern, line)
    ]
    assert found == []


def test_nothing_is_left_to_be_done_later() -> None:
    """What is half done is not in the tree."""
    marks = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX)\b")
    texts = [
        path
        for suffix in ("*.py", "*.html", "*.txt", "*.css", "*.js", "*.md", "*.toml")
        for folder in (*PACKAGES, "templates", "static", "tests", "docs")
        for path in (ROOT / folder).rglob(suffix)
    ]
    texts += [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), *(ROOT / "bin").iterdir()]
    assert [short(path) for path in texts if marks.search(path.read_text())] == []


def public(node: ast.AST) -> Iterator[Definition]:
    """Functions, classes and methods that others may use."""
    for each in getattr(node, "body", []):
        if isinstance(each, Definition) and not each.name.startswith("_") and each.name != "Meta":
            yield each
            if isinstance(each, ast.ClassDef):
                yield from public(each)


def test_what_is_public_says_what_it_does() -> None:
    """Modules, classes, functions, methods."""
    silent = []
    for path in files("*.py", *PACKAGES):
        tree = ast.parse(path.read_text())
        if tree.body and not ast.get_docstring(tree):
            silent.append(short(path))
        silent += [f"{short(path)}: {d.name}" for d in public(tree) if not ast.get_docstring(d)]
    assert silent == []


def test_functions_are_short_and_import_nothing_without_a_reason() -> None:
    """The reason stands beside the import."""
    found = []
    for path in files("*.py", *PACKAGES):
        text = path.read_text()
        lines = text.splitlines()
        for function in ast.walk(ast.parse(text)):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if (function.end_lineno or 0) - function.lineno >= FUNCTION_LINES:
                found.append(f"{short(path)}: {function.name} is long")
            for line in ast.walk(function):
                if isinstance(line, ast.Import | ast.ImportFrom):
                    comment = lines[line.lineno - 1].partition("#")[2]
                    if not re.search(r"[a-z]{3,} [a-z]{2,}", comment):
                        found.append(f"{short(path)}: {lines[line.lineno - 1].strip()}")
    assert found == []


def views(resolver: URLResolver) -> Iterator[URLPattern]:
    """Every route that is ours, not Django's admin's."""
    for entry in resolver.url_patterns:
        if isinstance(entry, URLPattern):
            yield entry
        elif entry.namespace != "admin":
            yield from views(entry)


def test_every_view_says_which_methods_it_answers() -> None:
    """`next`, 405 and the page of a stale form go by it."""
    assert [
        str(v.pattern) for v in views(get_resolver()) if not hasattr(v.callback, "methods")
    ] == []


PAGES = [
    "",
    "markets",
    "markets/history",
    "markets/history/1",
    "delivery",
    "usage",
    "usage?span=year",
    "api-access",
    "api-access/{key}",
    "profile",
    "team",
    "activity",
]


def test_a_page_costs_the_same_queries_whatever_is_on_it(
    acme: Tenant, make_key: MakeKey, catalogue: None
) -> None:
    """With three of everything and with thirty."""
    Contract.objects.update(max_keys=100)
    alice = make_member(acme, "Alice", Role.OWNER)
    client = signed_in(alice)
    key, _ = make_key(acme)
    paths = [f"/client/{page.format(key=key.pk)}" for page in PAGES]
    costs = []
    for most in (3, 30):
        fill(acme, make_key, alice, most)
        costs.append({path: queries(client, path) for path in paths})
    for path in paths:
        few, many = (cost[path] for cost in costs)
        assert len(few) == len(many), (path, many)
        assert len(few) <= MOST_QUERIES, (path, few)


def fill(acme: Tenant, make_key: MakeKey, alice: User, most: int) -> None:
    """So many keys (used, revoked, with networks), members, invitations, sessions, records.

    And as many types switched off, each by a revision of its own.
    """
    for code in all_codes()[state_of(acme).revision : most]:
        switch(acme, alice, **{code: "off"})
    for number in range(acme.api_keys.count(), most):  # type: ignore[attr-defined]
        key, _ = make_key(acme, allowlist=["192.0.2.0/24", "198.51.100.7/32"])
        KeyUse.objects.create(key=key, last_used_at=clock.now(), last_address="192.0.2.1")
        if number % 3 == 0:
            key.revoked_at = clock.now()
            key.revoked_by = alice
            key.save()
        make_member(acme, f"Member{number}", Role.VIEWER)
        invite(
            actor=alice,
            origin=COMMAND_LINE,
            email=f"invited{number}@example.com",
            username=f"Invited{number}",
            tenant=acme,
            role=Role.VIEWER,
            send_mail=False,
        )
        signed_in(alice)
    key = acme.api_keys.earliest("created_at")  # type: ignore[attr-defined]
    assert Session.objects.filter(user=alice).count() >= most
    event = AuditEvent.objects.filter(target_id=key.pk).first()
    assert event
    AuditEvent.objects.bulk_create(
        AuditEvent(
            action=event.action,
            actor_name="Alice",
            tenant_id=acme.pk,
            target_id=key.pk,
            target_name=key.label,
        )
        for _ in range(most)
    )


def queries(client: Client, path: str) -> list[str]:
    """The statements that a page takes."""
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    return [query["sql"] for query in captured]
