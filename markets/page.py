"""What the page Markets shows: groups with their rows and counts, through a filter.

Who looks twice at the same revision is shown the same: what was rendered for it is kept.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from markets.catalogue import GroupFacts, TypeFacts, folded
from markets.effective import Choice
from markets.forms import FilterForm, Wanted
from markets.rows import row_of
from markets.state import State

MOST_BOARDS = 64  # kept, of 50 kB with 58 types and 350 kB with 500


@dataclass(frozen=True)
class Section:
    """A group on the page. Rows that the filter leaves out are there, hidden: a form sends all."""

    group: GroupFacts
    rows: SafeString
    on: int
    total: int
    is_hidden: bool


@dataclass(frozen=True)
class Board:
    """The parts of the page that are the same for whoever may do the same, rendered."""

    standing: SafeString  # the default, and who changed what last
    filter: SafeString
    types: SafeString
    retired: SafeString


def board_of(
    state: State,
    wanted: Wanted,
    *,
    may_change: bool,
    chosen: Mapping[str, Choice] | None = None,
) -> Board:
    """The board through a filter. chosen: code → what is shown as chosen, and not applied yet."""
    if chosen:
        return _render(state, wanted, may_change, chosen)
    language, zone = get_language() or "en", timezone.get_current_timezone()
    return _kept(language, zone, state, wanted, may_change)


@lru_cache(maxsize=MOST_BOARDS)
def _kept(
    _language: str, _zone: dt.tzinfo, state: State, wanted: Wanted, may_change: bool
) -> Board:
    """All that a board depends on is among the arguments: states are equal by their revision."""
    return _render(state, wanted, may_change, {})


def _render(state: State, wanted: Wanted, may_change: bool, chosen: Mapping[str, Choice]) -> Board:
    asked = dict(wanted)
    found = [
        _section(state, group, asked, chosen, may_change=may_change)
        for group in state.catalogue.groups
    ]
    context = {
        "state": state,
        "sections": [section for section, _ in found],
        "on": sum(section.on for section, _ in found),
        "shown": sum(shown for _, shown in found),
        "total": len(state.catalogue.live),
        "changed": sum(state.choices.of(code) is not choice for code, choice in chosen.items()),
        "may_change": may_change,
        "filter": FilterForm(asked, catalogue=state.catalogue),
        "is_filtered": bool(wanted),
    }
    parts = ("standing", "filter", "board", "retired")
    return Board(*(render_to_string(f"markets/{part}.html", context) for part in parts))


def _section(
    state: State,
    group: GroupFacts,
    wanted: Mapping[str, str],
    chosen: Mapping[str, Choice],
    *,
    may_change: bool,
) -> tuple[Section, int]:
    rows, on, shown = [], 0, 0
    for each in group.types:
        is_shown = _matches(each, state, wanted)
        choice = chosen.get(each.code) or state.choices.of(each.code)
        rows.append(row_of(each, state, choice, may_change=may_change, is_hidden=not is_shown))
        on += state.choices.is_on(each)
        shown += is_shown
    joined = SafeString("".join(rows))  # each is rendered by a template, and safe
    return Section(group, joined, on, len(rows), is_hidden=not shown), shown


def _matches(each: TypeFacts, state: State, wanted: Mapping[str, str]) -> bool:
    """static/js/markets.js decides the same while one types."""
    if not any(wanted.values()):
        return True
    if wanted.get("group") and each.group != wanted["group"]:
        return False
    words = folded(wanted.get("q", "")).split()
    if not all(word in each.words for word in words):
        return False
    match wanted.get("state"):
        case "on":
            return state.choices.is_on(each)
        case "off":
            return not state.choices.is_on(each)
        case "own":
            return each.code in state.choices.overrides
        case "new":
            return state.is_new(each)
    return True
