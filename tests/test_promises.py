"""docs/security.md names a test for each promise: they are there, and none is forgotten."""

import ast
import re

from portal.launch.environment import ROOT

DOCUMENT = (ROOT / "docs" / "security.md").read_text()


def test_every_test_that_the_document_names_is_there() -> None:
    named = re.findall(r"`((?:browser/)?test_\w+)::(test_\w+)`", DOCUMENT)
    assert len(named) > 90
    there = {
        (module, node.name)
        for module in {module for module, _ in named}
        for node in ast.parse((ROOT / "tests" / f"{module}.py").read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    assert [f"{module}::{name}" for module, name in named if (module, name) not in there] == []


def test_every_module_that_it_names_is_there() -> None:
    named = set(re.findall(r"`((?:accounts|markets|apikeys|portal)/[\w/]+\.py)`", DOCUMENT))
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_every_promise_is_in_a_table() -> None:
    """Kept, or not kept yet: nothing is passed over."""
    numbers = {int(number) for number in re.findall(r"^\| (\d+) \|", DOCUMENT, re.MULTILINE)}
    assert numbers == set(range(1, 46))
