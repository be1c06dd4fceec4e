"""What is on and what is off: pure functions of a tenant's choices and a type. No I/O.

The effective state of a type is the tenant's override, else the tenant's default; a type that was
taken out of the catalogue is off for everybody. `markets_is_on` says the same in SQL.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, Protocol, TypeVar


class Choice(StrEnum):
    """What a tenant says of one type."""

    DEFAULT = "default"
    ON = "on"
    OFF = "off"


class Type(Protocol):
    """As much of a market type as this module needs."""

    @property
    def code(self) -> str:
        """The stable key."""

    @property
    def is_retired(self) -> bool:
        """Taken out of the catalogue."""


AnyType = TypeVar("AnyType", bound=Type)


@dataclass(frozen=True)
class Choices:
    """A tenant's default, and its overrides: code → on."""

    default_on: bool = True
    overrides: Mapping[str, bool] = field(default_factory=dict)

    def of(self, code: str) -> Choice:
        """What was chosen for a type; Choice.DEFAULT where nothing was."""
        override = self.overrides.get(code)
        if override is None:
            return Choice.DEFAULT
        return Choice.ON if override else Choice.OFF

    def is_on(self, market_type: Type) -> bool:
        """The effective state of a type."""
        if market_type.is_retired:
            return False
        return self.overrides.get(market_type.code, self.default_on)

    def with_choices(self, chosen: Mapping[str, Choice]) -> "Choices":
        """These, with other choices for some types."""
        overrides = dict(self.overrides)
        for code, choice in chosen.items():
            if choice is Choice.DEFAULT:
                overrides.pop(code, None)
            else:
                overrides[code] = choice is Choice.ON
        return Choices(self.default_on, overrides)

    def with_default(self, default_on: bool, *, keep_overrides: bool) -> "Choices":
        """Another default; the overrides are kept or cleared."""
        return Choices(default_on, self.overrides if keep_overrides else {})


BEGINNING = Choices()  # of every tenant: revision 0


@dataclass(frozen=True)
class Consequence(Generic[AnyType]):
    """What a change does to the types of the catalogue, in its order.

    same: chosen otherwise than before, to the same effect. untouched: how many are left as chosen.
    """

    goes_on: list[AnyType]
    goes_off: list[AnyType]
    same: list[AnyType]
    untouched: int

    @property
    def is_empty(self) -> bool:
        """Nothing is chosen otherwise, and nothing goes on or off."""
        return not (self.goes_on or self.goes_off or self.same)

    @property
    def switched(self) -> int:
        """How many go on or off."""
        return len(self.goes_on) + len(self.goes_off)


def consequence(before: Choices, after: Choices, types: Iterable[AnyType]) -> Consequence[AnyType]:
    """What becomes of each type when these choices take the place of those."""
    goes_on: list[AnyType] = []
    goes_off: list[AnyType] = []
    same: list[AnyType] = []
    untouched = 0
    for each in types:
        was_on, is_on = before.is_on(each), after.is_on(each)
        if was_on != is_on:
            (goes_on if is_on else goes_off).append(each)
        elif before.of(each.code) is not after.of(each.code):
            same.append(each)
        else:
            untouched += 1
    return Consequence(goes_on, goes_off, same, untouched)


def own_changes(base: Choices, sent: Mapping[str, Choice]) -> dict[str, Choice]:
    """Of what a form sent, what differs from the choices that the form was made from."""
    return {code: choice for code, choice in sent.items() if base.of(code) is not choice}
