"""Catalogues to try things with, and what a tenant's markets are by every account of them."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connection

from accounts.models import Tenant, User
from accounts.origin import COMMAND_LINE
from markets.disabled import DISABLED_CODES
from markets.effective import Choice
from markets.models import MarketType
from markets.services.choices import apply_choices
from markets.state import State, state_of
from portal.launch.run import MARKET_TYPES

GROUPS = [
    {"code": "kills", "name_en": "Kills", "name_ru": "Убийства"},
    {"code": "bomb", "name_en": "Bomb", "name_ru": "Бомба"},
]


def row(code: str, group: str = "kills", **columns: Any) -> dict[str, Any]:
    """A type as it stands in a file."""
    names = {"name_en": f"The {code}", "name_ru": f"Этот {code}"}
    return {"code": code, "group": group, "settlement": "live", **names, **columns}


def write_catalogue(path: Path, rows: Sequence[Mapping[str, Any]], sport: str = "cs2") -> Path:
    """A file with these types, one a line; the first is on line 6."""
    lines = [f'{{"sport": "{sport}", "groups": [']
    lines += [",\n".join(json.dumps(group) for group in GROUPS), "],", '"market_types": [']
    path.write_text("\n".join([*lines, ",\n".join(json.dumps(each) for each in rows), "]}"]))
    return path


def load(path: Path, *options: str) -> str:
    """What `load_market_types` says."""
    said = io.StringIO()
    call_command("load_market_types", str(path), *options, stdout=said)
    return said.getvalue()


def many_types(folder: Path, number: int) -> None:
    """A catalogue of so many types, and none of those that were there."""
    rows = [row(f"type_{n:03}", sort_order=n) for n in range(number)]
    load(write_catalogue(folder / "many.json", rows), "--retire-most")


def add(folder: Path, *codes: str) -> None:
    """The project's own catalogue, and these."""
    file = json.loads(MARKET_TYPES.read_text())
    file["market_types"] += [row(code) for code in codes]
    path = folder / "more.json"
    path.write_text(json.dumps(file))
    load(path)


def switch(tenant: Tenant, actor: User, **choices: str) -> State:
    """Choose by codes and words: `awp_kill="off"`."""
    return apply_choices(
        tenant=tenant,
        revision=state_of(tenant).revision,
        choices={code: Choice(word) for code, word in choices.items()},
        actor=actor,
        origin=COMMAND_LINE,
    )


def disabled(tenant: Tenant) -> tuple[int, list[str]]:
    """What the machine door is told: the revision, and the codes that are off."""
    with connection.cursor() as cursor:
        cursor.execute(DISABLED_CODES, [[tenant.pk]])
        [(tenant_id, revision, _, codes)] = cursor.fetchall()
    assert tenant_id == tenant.pk
    return revision, codes


def off_by_python(tenant: Tenant) -> list[str]:
    """What the pages say is off, retired types included."""
    state = state_of(tenant)
    types = state.catalogue.by_code.values()
    return sorted(each.code for each in types if not state.choices.is_on(each))


def all_codes() -> list[str]:
    """Every code there ever was."""
    return sorted(MarketType.objects.values_list("code", flat=True))
