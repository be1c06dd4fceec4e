"""What somebody's choices would do, held against what others have done meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass

from accounts.models import Tenant
from markets.catalogue import TypeFacts
from markets.effective import Choice, Choices, Consequence, consequence, own_changes
from markets.models import Revision
from markets.state import State, choices_at


@dataclass(frozen=True)
class Clash:
    """A type for which two people chose, each otherwise. theirs is in force."""

    market_type: TypeFacts
    mine: Choice
    theirs: Choice


@dataclass(frozen=True)
class Conflict:
    """What changed since a page was made."""

    state: State
    theirs: Consequence[TypeFacts]
    clashes: list[Clash]


@dataclass(frozen=True)
class Review:
    """One's own changes on top of the present state, and what they come to."""

    revision: int
    choices: Mapping[str, Choice]
    outcome: Consequence[TypeFacts]
    conflict: Conflict | None

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Code and choice, for the form that applies them."""
        return [(code, choice.value) for code, choice in self.choices.items()]


def review_of(tenant: Tenant, state: State, made_from: int, sent: Mapping[str, Choice]) -> Review:
    """What of a form is a change, seen from the revision it was made from; none of it is lost."""
    base = _base(tenant, state, made_from)
    own = dict(sent) if base is None else own_changes(base, sent)
    conflict = None
    if made_from != state.revision:
        conflict = conflict_since(tenant, state, made_from, own)
    own = own_changes(state.choices, own)
    after = state.choices.with_choices(own)
    outcome = consequence(state.choices, after, state.catalogue.live)
    return Review(state.revision, own, outcome, conflict)


def conflict_since(
    tenant: Tenant, state: State, made_from: int, own: Mapping[str, Choice] | None = None
) -> Conflict:
    """What others did between that revision and the present state; all of it where unknown."""
    base = _base(tenant, state, made_from) or state.choices
    theirs = consequence(base, state.choices, state.catalogue.live)
    mine = own or {}
    clashes = [
        Clash(each, mine[each.code], now)
        for each in state.catalogue.live
        if each.code in mine
        and (now := state.choices.of(each.code)) not in (base.of(each.code), mine[each.code])
    ]
    return Conflict(state, theirs, clashes)


def _base(tenant: Tenant, state: State, made_from: int) -> Choices | None:
    """What was chosen when the form was made; None for a revision that never was."""
    if made_from == state.revision:
        return state.choices
    try:
        return choices_at(tenant, made_from)
    except Revision.DoesNotExist:
        return None
