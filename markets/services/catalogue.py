"""What is done to the catalogue: by a file, or by staff one by one. Codes are never used again."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from procrastinate.contrib.django import app as queue

from accounts.audit import record
from accounts.models import Action, User
from accounts.origin import Origin
from markets.catalogue_file import BadFile, CatalogueFile, Row
from markets.models import Group, MarketType, Sport
from portal.lib import clock

_GROUP_COLUMNS = ["name_en", "name_ru", "sort_order"]
_TYPE_COLUMNS = [
    "group_id",
    "name_en",
    "name_ru",
    "specifiers",
    "outcomes",
    "settlement",
    "sort_order",
]


class IsRetired(Exception):
    """The type was taken out of the catalogue meanwhile."""


@dataclass(frozen=True)
class Loaded:
    """Codes of the types that a file added, changed and retired."""

    added: list[str]
    changed: list[str]
    retired: list[str]


@transaction.atomic
def load_catalogue(
    *, file: CatalogueFile, may_retire_most: bool = False, actor: User | None, origin: Origin
) -> Loaded:
    """Make the sport's catalogue what the file says; what the file lacks is taken out, for good.

    Loading it again changes and records nothing. Raises BadFile, and applies nothing, where the
    file uses a code that was taken out or is another sport's, or, unless `may_retire_most`, would
    take out more than half.
    """
    _go_one_by_one()
    sport = _sport(file.sport)
    there = {each.code: each for each in MarketType.objects.select_related("group__sport")}
    _refuse_used_codes(file.types, there, sport)
    mine = {code: each for code, each in there.items() if each.group.sport_id == sport.pk}
    missing = _missing(file, mine, may_retire_most=may_retire_most)
    groups = _write_groups(file.groups, sport)
    added, changed = _write_types(file.types, groups, mine, is_news=bool(mine))
    if missing:
        MarketType.objects.filter(code__in=missing).update(retired_at=clock.now())
    if added or changed or missing:
        detail: dict[str, Any] = {"added": added, "changed": changed, "retired": missing}
        record(Action.CATALOGUE_LOADED, actor=actor, origin=origin, target=sport, **detail)
    if added and mine:
        _tell(added)
    return Loaded(added, changed, missing)


@transaction.atomic
def add_type(*, columns: Mapping[str, Any], actor: User, origin: Origin) -> MarketType:
    """A new type, which follows each tenant's default; owners and traders are told by mail."""
    _go_one_by_one()
    added = MarketType.objects.create(**columns, announced_at=clock.now())
    record(Action.MARKET_TYPE_ADDED, actor=actor, origin=origin, target=added)
    _tell([added.code])
    return added


@transaction.atomic
def change_type(
    *, type_id: uuid.UUID, columns: Mapping[str, Any], actor: User, origin: Origin
) -> MarketType:
    """Change what is said of a type; its code stays. Raises IsRetired."""
    _go_one_by_one()
    stored = _live_type(type_id)
    changed = _changed(stored, columns)
    if changed:
        stored.save(update_fields=list(changed))
        record(Action.MARKET_TYPE_CHANGED, actor=actor, origin=origin, target=stored, **changed)
    return stored


@transaction.atomic
def retire_type(*, type_id: uuid.UUID, actor: User, origin: Origin) -> MarketType:
    """Take a type out, for good: off for everybody from now on. Raises IsRetired."""
    _go_one_by_one()
    stored = _live_type(type_id)
    stored.retired_at = clock.now()
    stored.save(update_fields=["retired_at"])
    record(Action.MARKET_TYPE_RETIRED, actor=actor, origin=origin, target=stored)
    return stored


@transaction.atomic
def add_sport(*, columns: Mapping[str, Any], actor: User, origin: Origin) -> Sport:
    """A new sport, with nothing in it yet."""
    _go_one_by_one()
    added = Sport.objects.create(**columns)
    record(Action.SPORT_ADDED, actor=actor, origin=origin, target=added)
    return added


@transaction.atomic
def change_sport(
    *, sport_id: uuid.UUID, columns: Mapping[str, Any], actor: User, origin: Origin
) -> Sport:
    """Change what a sport is called; its code stays."""
    _go_one_by_one()
    stored = Sport.objects.select_for_update().get(pk=sport_id)
    changed = _changed(stored, columns)
    if changed:
        stored.save(update_fields=list(changed))
        record(Action.SPORT_CHANGED, actor=actor, origin=origin, target=stored, **changed)
    return stored


@transaction.atomic
def add_group(*, columns: Mapping[str, Any], actor: User, origin: Origin) -> Group:
    """A new group; it shows on the page with its first type."""
    _go_one_by_one()
    added = Group.objects.create(**columns)
    record(Action.MARKET_GROUP_ADDED, actor=actor, origin=origin, target=added)
    return added


@transaction.atomic
def change_group(
    *, group_id: uuid.UUID, columns: Mapping[str, Any], actor: User, origin: Origin
) -> Group:
    """Change what is said of a group; its code and sport stay."""
    _go_one_by_one()
    stored = Group.objects.select_for_update(of=["self"]).select_related("sport").get(pk=group_id)
    changed = _changed(stored, columns)
    if changed:
        stored.save(update_fields=list(changed))
        record(Action.MARKET_GROUP_CHANGED, actor=actor, origin=origin, target=stored, **changed)
    return stored


def _go_one_by_one() -> None:
    """Two loads at once would each retire what the other adds.

    And a load and an act of staff would each come to wait for what the other holds.
    """
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE markets_markettype IN SHARE ROW EXCLUSIVE MODE")


def _live_type(type_id: uuid.UUID) -> MarketType:
    types = MarketType.objects.select_for_update(of=["self"]).select_related("group")
    stored = types.get(pk=type_id)
    if stored.is_retired:
        raise IsRetired
    return stored


def _changed(stored: Sport | Group | MarketType, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Sets the columns that differ; gives what they were and are, as plain JSON."""
    changed = {}
    for name, value in columns.items():
        before = getattr(stored, name)
        if before != value:
            setattr(stored, name, value)
            plain = (list, int, str)
            changed[name] = [
                each if isinstance(each, plain) else str(each) for each in (before, value)
            ]
    return changed


def _sport(given: Mapping[str, str]) -> Sport:
    sport, is_new = Sport.objects.get_or_create(code=given["code"], defaults=dict(given))
    names = {name: given[name] for name in ("name_en", "name_ru")}
    if not is_new and any(getattr(sport, name) != value for name, value in names.items()):
        Sport.objects.filter(pk=sport.pk).update(**names)
    return sport


def _refuse_used_codes(rows: list[Row], there: Mapping[str, MarketType], sport: Sport) -> None:
    errors = []
    for line, columns in rows:
        known = there.get(columns["code"])
        if known and known.retired_at:
            errors.append(
                f"line {line}: “{known.code}” was taken out of the catalogue on "
                f"{known.retired_at:%Y-%m-%d}, and is never used again."
            )
        elif known and known.group.sport_id != sport.pk:
            errors.append(f"line {line}: “{known.code}” belongs to {known.group.sport.code}.")
    if errors:
        raise BadFile(errors)


def _missing(
    file: CatalogueFile, mine: Mapping[str, MarketType], *, may_retire_most: bool
) -> list[str]:
    """Live codes that the file lacks."""
    live = [code for code, each in mine.items() if not each.is_retired]
    in_file = {row.columns["code"] for row in file.types}
    missing = sorted(set(live) - in_file)
    if len(missing) * 2 > len(live) and not may_retire_most:
        raise BadFile(
            [
                f"The file lacks {len(missing)} of {len(live)} types, which would be taken out for "
                "good. If that is meant, add --retire-most."
            ]
        )
    return missing


def _write_groups(rows: list[Row], sport: Sport) -> dict[str, Group]:
    """Groups by their codes, as the file has them."""
    there = {group.code: group for group in Group.objects.filter(sport=sport)}
    new, changed = [], []
    for _, columns in rows:
        group = there.get(columns["code"])
        if group is None:
            group = Group(sport=sport, **columns)
            new.append(group)
            there[group.code] = group
        elif _changed(group, {name: columns[name] for name in _GROUP_COLUMNS}):
            changed.append(group)
    if new:
        Group.objects.bulk_create(new)
    if changed:
        Group.objects.bulk_update(changed, _GROUP_COLUMNS)
    return there


def _write_types(
    rows: list[Row],
    groups: Mapping[str, Group],
    mine: Mapping[str, MarketType],
    *,
    is_news: bool,
) -> tuple[list[str], list[str]]:
    """Codes of those that were added, and of those that were changed."""
    announced_at = clock.now() if is_news else None
    new, changed = [], []
    for _, given in rows:
        columns = {name: value for name, value in given.items() if name != "group"}
        columns["group_id"] = groups[given["group"]].pk
        there = mine.get(columns["code"])
        if there is None:
            new.append(MarketType(announced_at=announced_at, **columns))
        elif _changed(there, {name: columns[name] for name in _TYPE_COLUMNS}):
            changed.append(there)
    if new:
        MarketType.objects.bulk_create(new)
    if changed:
        MarketType.objects.bulk_update(changed, _TYPE_COLUMNS)
    return [each.code for each in new], [each.code for each in changed]


def _tell(codes: list[str]) -> None:
    """Queue the news of new types. The worker finds out whom to write to: there may be many."""
    tell = queue.configure_task("markets.tasks.tell_of_new_types", queue="mail")
    tell.defer(codes=[*codes])
