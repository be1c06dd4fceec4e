"""The rows of the page. 500 of them should cost little, so each is made once and kept."""

from functools import lru_cache

from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from markets.catalogue import TypeFacts
from markets.effective import Choice
from markets.state import State

MOST_ROWS = 10_000  # kept, of a kilobyte each


def row_of(
    each: TypeFacts, state: State, shown: Choice, *, may_change: bool, is_hidden: bool
) -> SafeString:
    """A table row. shown: what its buttons say, which may not be applied yet."""
    return _row(
        get_language() or "en",
        each,
        state.choices.default_on,
        state.choices.of(each.code),
        shown,
        state.is_new(each),
        may_change,
        is_hidden,
    )


@lru_cache(maxsize=MOST_ROWS)
def _row(
    _language: str,
    each: TypeFacts,
    default_on: bool,
    saved: Choice,
    shown: Choice,
    is_new: bool,
    may_change: bool,
    is_hidden: bool,
) -> SafeString:
    """All that a row depends on is among the arguments; nothing of a request is in it."""
    context = {
        "type": each,
        "is_on": default_on if saved is Choice.DEFAULT else saved is Choice.ON,
        "default_on": default_on,
        "saved": saved.value,
        "shown": shown.value,
        "is_new": is_new,
        "may_change": may_change,
        "is_hidden": is_hidden,
    }
    return render_to_string("markets/row.html", context)
