"""The catalogue as pages and services read it: once for each version, and then from memory."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from django.utils.translation import get_language

from markets.models import Group, MarketType


@dataclass(frozen=True, eq=False)
class TypeFacts:
    """A market type, as its row says; `announced_at` is None for what its sport began with.

    Compared by identity: one object for each version, which is what rows of a page are kept under.
    """

    code: str
    group: str  # the group's code, with its sport's: "cs2.kills"
    name_en: str
    name_ru: str
    specifiers: tuple[str, ...]
    settlement: str
    announced_at: dt.datetime | None
    is_retired: bool

    @property
    def name(self) -> str:
        """In the reader's language."""
        return _in_language(self.name_en, self.name_ru)

    @property
    def words(self) -> str:
        """What a search looks in: the code and both names, folded."""
        return folded(f"{self.code} {self.name_en} {self.name_ru}")


@dataclass(frozen=True)
class GroupFacts:
    """A group and its live types, in the catalogue's order. Named with its sport among several."""

    code: str  # with the sport's: "cs2.kills"
    name_en: str
    name_ru: str
    types: tuple[TypeFacts, ...]

    @property
    def name(self) -> str:
        """In the reader's language."""
        return _in_language(self.name_en, self.name_ru)

    @property
    def anchor(self) -> str:
        """For the id of its heading, which holds no dot."""
        return self.code.replace(".", "-")


@dataclass(frozen=True, eq=False)
class Contents:
    """All of the catalogue in one version. Compared by identity, as its types are."""

    version: int
    groups: tuple[GroupFacts, ...]
    retired: tuple[TypeFacts, ...]

    @cached_property
    def live(self) -> tuple[TypeFacts, ...]:
        """Every type that was not taken out."""
        return tuple(each for group in self.groups for each in group.types)

    @cached_property
    def by_code(self) -> Mapping[str, TypeFacts]:
        """Every type there ever was."""
        return {each.code: each for each in (*self.live, *self.retired)}

    @cached_property
    def newest(self) -> dt.datetime | None:
        """When the last of the live types was announced; None where none ever was."""
        return max((each.announced_at for each in self.live if each.announced_at), default=None)

    def name_of(self, code: str) -> str:
        """The type's name in the reader's language; the code itself where it is unknown."""
        known = self.by_code.get(code)
        return known.name if known else code


@lru_cache(maxsize=4)
def contents(version: int) -> Contents:
    """The catalogue under a version that was just read.

    It may be remembered: versions come from a sequence, so none ever names two contents. What was
    committed between the two reads is newer than its version says, and read again under its own.
    """
    columns = ["code", "group_id", "name_en", "name_ru", "specifiers", "settlement"]
    columns += ["announced_at", "retired_at"]
    # Types before groups: the group of each is there by then.
    types = list(MarketType.objects.order_by("sort_order", "code").values_list(*columns))
    groups = list(Group.objects.select_related("sport"))
    codes = {group.pk: f"{group.sport.code}.{group.code}" for group in groups}
    live: dict[object, list[TypeFacts]] = {group.pk: [] for group in groups}
    retired: list[TypeFacts] = []
    for code, group_id, en, ru, specifiers, settlement, announced_at, retired_at in types:
        facts = TypeFacts(
            code,
            codes[group_id],
            en,
            ru,
            tuple(specifiers),
            settlement,
            announced_at,
            retired_at is not None,
        )
        (retired if facts.is_retired else live[group_id]).append(facts)
    shown = [group for group in groups if live[group.pk]]
    has_several = len({group.sport_id for group in shown}) > 1
    return Contents(
        version,
        tuple(
            GroupFacts(
                codes[group.pk],
                f"{group.sport.name_en}: {group.name_en}" if has_several else group.name_en,
                f"{group.sport.name_ru}: {group.name_ru}" if has_several else group.name_ru,
                tuple(live[group.pk]),
            )
            for group in shown
        ),
        tuple(retired),
    )


def folded(text: str) -> str:
    """As it is searched: in lower case, and without the dots of ё, which few people type."""
    return text.lower().replace("ё", "е")


def _in_language(en: str, ru: str) -> str:
    return ru if (get_language() or "en").startswith("ru") else en
