"""Scopes and bundles, read once from `data/scopes.json`, a copy of the provider's list."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

DEFAULT_BUNDLE = "cs2.odds.basic"
DEFAULT_SPORTS = ["cs2"]

# Finished matches only: nothing keeps a key to those yet, so nobody may be given it.
WITHHELD_BUNDLES = frozenset({"cs2.scoretock"})


@dataclass(frozen=True)
class Scope:
    """One permission, `sport:resource:action`, and what it grants in words."""

    code: str
    grants_en: str
    grants_ru: str

    def grants(self, language: str) -> str:
        """What it grants, in English or Russian."""
        return self.grants_ru if language.startswith("ru") else self.grants_en


@dataclass(frozen=True)
class Bundle:
    """A shorthand for scopes when a contract is written."""

    code: str
    use_en: str
    use_ru: str
    scopes: tuple[str, ...]
    requires: tuple[str, ...]


@lru_cache(maxsize=1)
def _data() -> dict[str, list[dict[str, object]]]:
    path = Path(__file__).parent / "data" / "scopes.json"
    data: dict[str, list[dict[str, object]]] = json.loads(path.read_text("utf-8"))
    return data


@lru_cache(maxsize=1)
def contract_scopes() -> dict[str, Scope]:
    """Code → scope for all that a contract may hold, in the catalogue's order."""
    return {
        str(row["code"]): Scope(str(row["code"]), str(row["grants_en"]), str(row["grants_ru"]))
        for row in _data()["scopes"]
        if row["issuable"] == "contract"
    }


@lru_cache(maxsize=1)
def bundles() -> dict[str, Bundle]:
    """Code → bundle for all that may be written into an operator's contract."""
    return {
        str(row["code"]): Bundle(
            str(row["code"]),
            str(row["use_en"]),
            str(row["use_ru"]),
            tuple(row["scopes"]),  # type: ignore[arg-type]
            tuple(row.get("requires", [])),  # type: ignore[arg-type]
        )
        for row in _data()["bundles"]
        if row["issuable"] == "external" and row["code"] not in WITHHELD_BUNDLES
    }


@lru_cache(maxsize=1)
def _ranks() -> dict[str, int]:
    return {str(row["code"]): rank for rank, row in enumerate(_data()["scopes"])}


def in_order(scopes: Iterable[str]) -> list[str]:
    """Each scope once, in the catalogue's order; unknown ones last, by name."""
    ranks = _ranks()
    return sorted(set(scopes), key=lambda code: (ranks.get(code, len(ranks)), code))
