"""Mails about how keys are used: near the limit, at it, unused; to whom, and how often."""

import datetime as dt
from typing import Any

import pytest

from accounts.models import Tenant, User
from accounts.tasks import send_notice
from apikeys.models import ApiKey, KeyCalls, KeyNotice, KeyUse, Period
from apikeys.tasks import keep_usage, look_for_unused_keys
from apikeys.usage_notices import tell_of_limits, tell_of_unused_keys
from portal.lib import clock
from tests.at_once import at_once
from tests.conftest import MakeKey
from tests.mailbox import empty_queue, queued

MINUTE, HOUR, DAY = (dt.timedelta(**{unit: 1}) for unit in ("minutes", "hours", "days"))


@pytest.fixture
def _team(alice: User, dave: User, tina: User, victor: User, mallory: User) -> None:
    """All of them are there; owners and developers of the key's tenant hear."""


def busy(key: ApiKey, **counts: int) -> None:
    """So many calls in the minute that has just ended."""
    start = (clock.now() - MINUTE).replace(second=0, microsecond=0)
    for outcome, calls in counts.items():
        KeyCalls.objects.create(
            key=key, period=Period.MINUTE, start=start, outcome=outcome, calls=calls
        )


def told(name: str) -> list[tuple[str, list[Any]]]:
    """Who is told of which keys."""
    people = {str(user.pk): user.username for user in User.objects.all()}
    return [
        (people[job.user_id], [_label(key) for key in job.context["keys"]]) for job in queued(name)
    ]


def _label(key: Any) -> Any:
    return key if isinstance(key, str) else (key["label"], key["is_at"])


@pytest.mark.usefixtures("_team")
def test_owners_and_developers_hear_of_a_key_above_80_percent(
    acme: Tenant, make_key: MakeKey
) -> None:
    near, _ = make_key(acme, label="Near")
    calm, _ = make_key(acme, label="Calm")
    busy(near, allowed=481)
    busy(calm, allowed=480, ip_not_allowed=500)
    keep_usage(0)
    assert told("key_limit") == [("Alice", [("Near", False)]), ("Dave", [("Near", False)])]


@pytest.mark.usefixtures("_team")
def test_once_a_day_for_each_key_and_threshold(acme: Tenant, make_key: MakeKey) -> None:
    """80 % at first, then the limit; each again a day later, whatever happens in between."""
    first, _ = make_key(acme, label="First")
    other, _ = make_key(acme, label="Other")
    busy(first, allowed=500)
    tell_of_limits()
    tell_of_limits()
    clock.move(10 * MINUTE)
    busy(first, allowed=600, rate_limited=3)
    busy(other, allowed=590)
    tell_of_limits()
    tell_of_limits()
    mine = [keys for who, keys in told("key_limit") if who == "Dave"]
    assert mine == [[("First", False)], [("First", True), ("Other", False)]]
    clock.move(DAY - 11 * MINUTE)
    busy(first, allowed=500)
    tell_of_limits()
    assert len(queued("key_limit")) == 4
    clock.move(12 * MINUTE)
    busy(first, allowed=500)
    tell_of_limits()
    assert [keys for who, keys in told("key_limit") if who == "Dave"][2:] == [[("First", False)]]


@pytest.mark.usefixtures("_team")
def test_who_hears_of_the_limit_does_not_hear_of_80_percent_as_well(
    acme: Tenant, make_key: MakeKey
) -> None:
    key, _ = make_key(acme)
    busy(key, allowed=100, rate_limited=1)
    tell_of_limits()
    clock.move(2 * MINUTE)
    busy(key, allowed=550)
    tell_of_limits()
    assert [keys for _who, keys in told("key_limit")] == [[("Pricing", True)]] * 2


@pytest.mark.usefixtures("_team")
def test_of_dead_keys_and_suspended_tenants_nobody_hears(
    acme: Tenant, globex: Tenant, make_key: MakeKey
) -> None:
    dead, _ = make_key(acme)
    suspended, _ = make_key(globex)
    ApiKey.objects.update(created_at=clock.now() - 100 * DAY)
    ApiKey.objects.filter(pk=dead.pk).update(revoked_at=clock.now())
    Tenant.objects.filter(pk=globex.pk).update(suspended_at=clock.now())
    for key in (dead, suspended):
        busy(key, allowed=700, rate_limited=5)
    keep_usage(0)
    look_for_unused_keys(0)
    assert queued("key_limit", "key_unused") == []


@pytest.mark.usefixtures("_team")
def test_a_key_unused_for_90_days_is_told_once_and_again_after_it_was_used(
    acme: Tenant, make_key: MakeKey
) -> None:
    never, _ = make_key(acme, label="Never")
    rare, _ = make_key(acme, label="Rare")
    make_key(acme, label="Young")
    ApiKey.objects.exclude(label="Young").update(created_at=clock.now() - 200 * DAY)
    KeyUse.objects.create(key=rare, last_used_at=clock.now() - 89 * DAY)
    for _ in range(2):
        look_for_unused_keys(0)
    assert told("key_unused") == [("Alice", ["Never"]), ("Dave", ["Never"])]
    clock.move(DAY)
    for _ in range(2):
        tell_of_unused_keys()
    assert told("key_unused")[2:] == [("Alice", ["Rare"]), ("Dave", ["Rare"])]
    KeyUse.objects.create(key=never, last_used_at=clock.now())
    clock.move(89 * DAY)
    KeyUse.objects.filter(key=rare).update(last_used_at=clock.now())
    ApiKey.objects.filter(label="Young").update(revoked_at=clock.now())
    tell_of_unused_keys()
    assert len(queued("key_unused")) == 4
    clock.move(DAY)
    tell_of_unused_keys()
    assert told("key_unused")[4:] == [("Alice", ["Never"]), ("Dave", ["Never"])]


def test_workers_at_once_tell_once(
    committed_db: None, acme: Tenant, alice: User, make_key: MakeKey
) -> None:
    for label in ("A", "B", "C"):
        busy(make_key(acme, label=label)[0], allowed=600)
    empty_queue()
    at_once([tell_of_limits] * 6)
    lines = [key for _who, keys in told("key_limit") for key in keys]
    assert sorted(lines) == [("A", True), ("B", True), ("C", True)]
    assert KeyNotice.objects.count() == 6
    empty_queue()


@pytest.mark.usefixtures("_team")
def test_the_mails_say_which_keys_and_where_to_look(
    acme: Tenant, make_key: MakeKey, mailoutbox: Any
) -> None:
    busy(make_key(acme, label="Near")[0], allowed=481)
    busy(make_key(acme, label="At")[0], allowed=599, rate_limited=2)
    idle, _ = make_key(acme, label="Idle")
    ApiKey.objects.filter(pk=idle.pk).update(created_at=clock.now() - 90 * DAY)
    tell_of_limits()
    tell_of_unused_keys()
    for name in ("key_limit", "key_unused"):
        job = queued(name)[0]
        send_notice(name, job.user_id, job.context)
    limits, unused = mailoutbox
    assert limits.subject == "API keys of Acme Sportsbook have met their limit"
    assert "“Near”: 481 of 600 calls in its busiest minute\n" in limits.body
    assert "“At”: 599 of 600 calls in its busiest minute, and 2 refused as too many" in limits.body
    assert limits.to == ["alice@example.com"]
    assert unused.subject == "An API key of Acme Sportsbook was not used for 90 days"
    assert "- “Idle”" in unused.body and "Revoke on the page API Access" in unused.body


@pytest.mark.usefixtures("_team")
def test_without_a_contract_there_is_no_limit_to_hear_of(acme: Tenant, make_key: MakeKey) -> None:
    key, _ = make_key(acme)
    busy(key, allowed=60, rate_limited=5)
    acme.contract.delete()  # type: ignore[attr-defined]
    keep_usage(0)
    assert told("key_limit") == []
