"""The acts of markets that leave a record: see tests/acts.py."""

import io
from collections.abc import Callable
from typing import Any

from django.core.management import call_command

from accounts.models import Action
from markets.models import MarketType
from portal.launch.run import MARKET_TYPES
from tests.access import NAMED
from tests.stage import Act, Send, Stage


def _markets(act: str, form: dict[str, Any]) -> Callable[[Stage], Send]:
    def ready(stage: Stage) -> Send:
        call_command("load_market_types", MARKET_TYPES, stdout=io.StringIO())
        return stage.post(stage.alice, f"/client/markets/{act}", {"revision": 0, **form})

    return ready


def _undo_markets(stage: Stage) -> Send:
    _markets("apply", {"choice-ace": "off"})(stage)()
    return stage.post(stage.alice, "/client/markets/history/0/restore", {"revision": 1})


def _catalogue(
    model: str, what: str, form: dict[str, Any] | None = None
) -> Callable[[Stage], Send]:
    def ready(stage: Stage) -> Send:
        call_command("load_market_types", MARKET_TYPES, stdout=io.StringIO())
        ace = MarketType.objects.select_related("group__sport").get(code="ace")
        row = {"sport": ace.group.sport, "group": ace.group, "markettype": ace}[model]
        middle = "" if what == "add/" else f"{row.pk}/"
        given = NAMED | {"group": ace.group_id, "sport": ace.group.sport_id}
        path = f"/staff/markets/{model}/{middle}{what}"
        return stage.post(stage.sam, path, given | (form or {}))

    return ready


MARKET_ACTS = {
    "switch a market type": Act(
        _markets("apply", {"choice-ace": "off"}),
        [(Action.MARKETS_CHANGED, "Alice", "acme", "Acme Sportsbook")],
    ),
    "disable all markets": Act(
        _markets("disable-all", {"typed": "acme"}),
        [(Action.MARKETS_DEFAULT_CHANGED, "Alice", "acme", "Acme Sportsbook")],
    ),
    "undo a switch of markets": Act(
        _undo_markets, [(Action.MARKETS_RESTORED, "Alice", "acme", "Acme Sportsbook")]
    ),
    "add a sport": Act(
        _catalogue("sport", "add/", {"code": "dota2"}),
        [(Action.SPORT_ADDED, "Sam", "", "dota2")],
    ),
    "rename a sport": Act(
        _catalogue("sport", "change/"), [(Action.SPORT_CHANGED, "Sam", "", "cs2")]
    ),
    "add a group of market types": Act(
        _catalogue("group", "add/", {"code": "new"}),
        [(Action.MARKET_GROUP_ADDED, "Sam", "", "cs2: new")],
    ),
    "rename a group of market types": Act(
        _catalogue("group", "change/"), [(Action.MARKET_GROUP_CHANGED, "Sam", "", "cs2: kills")]
    ),
    "add a market type": Act(
        _catalogue("markettype", "add/", {"code": "new"}),
        [(Action.MARKET_TYPE_ADDED, "Sam", "", "new")],
    ),
    "rename a market type": Act(
        _catalogue("markettype", "change/"), [(Action.MARKET_TYPE_CHANGED, "Sam", "", "ace")]
    ),
    "take a market type out": Act(
        _catalogue("markettype", "retire", {"confirmed": "1"}),
        [(Action.MARKET_TYPE_RETIRED, "Sam", "", "ace")],
    ),
}
