"""How a key is used, **Test this key**, and what is said of a change that is not everywhere yet."""

import datetime as dt
from uuid import uuid4

from playwright.sync_api import Page

from accounts.origin import COMMAND_LINE
from apikeys.models import ApiKey, DoorProcess, KeyCalls, KeyRefusal, SecretUse
from apikeys.services import rotate_key
from portal.lib import clock
from tests.browser.scenes_keys import KEY, LONG_LABEL, make_key, used
from tests.browser.stage import Stage, scene

DETAIL = (
    "Required scope 'cs2:markets:settlements' is not granted to this API key. "
    "Contact your account manager to extend the key's scopes."
)


@scene(KEY, "Pricing")
def key_in_use(stage: Stage) -> Page:
    made = make_key(stage)
    in_use(made)
    page = stage.as_alice(f"/client/api-access/{made.pk}")
    page.get_by_text("The same as a table").click()
    return page


@scene(KEY, "Pricing")
def key_in_use_all_day(stage: Stage) -> Page:
    made = make_key(stage)
    in_use(made)
    return stage.as_alice(f"/client/api-access/{made.pk}?chart=day")


@scene(KEY, "Pricing")
def revocation_that_is_not_everywhere_yet(stage: Stage) -> Page:
    made = make_key(stage)
    now = clock.now()
    silent = {"started_at": now, "seen_at": now, "counted_until": now + dt.timedelta(minutes=5)}
    DoorProcess.objects.create(id=uuid4(), is_remembering=True, facts={}, **silent)
    page = stage.as_alice(f"/client/api-access/{made.pk}/revoke")
    page.get_by_role("button", name="Revoke key").click()
    page.get_by_role("link", name="Look again").wait_for()
    return page


@scene("client/", "Overview")
def overview_with_a_retired_secret_in_use(stage: Stage) -> Page:
    made = make_key(stage, label=LONG_LABEL)
    retire(stage, made)
    return stage.as_alice("/client/")


@scene(f"{KEY}/test", "Test “Pricing”")
def trial(stage: Stage) -> Page:
    made = make_key(stage)
    return stage.as_alice(f"/client/api-access/{made.pk}/test")


@scene(f"{KEY}/test", "Test “Pricing”")
def trial_that_would_pass(stage: Stage) -> Page:
    page = trial(stage)
    page.get_by_role("button", name="Test this key").click()
    page.get_by_role("heading", name="It would pass").wait_for()
    return page


@scene(f"{KEY}/test", "Test “Pricing”")
def trial_that_would_be_refused(stage: Stage) -> Page:
    page = trial(stage)
    page.get_by_label("Route").fill("/valorant/v1/matches")
    page.get_by_label("Address").fill("2001:db8:85a3:1234:5678:8a2e:370:7334")
    page.get_by_role("button", name="Test this key").click()
    page.get_by_role("heading", name="It would be refused").wait_for()
    return page


@scene(f"{KEY}/test", "Test “Pricing”")
def trial_with_errors(stage: Stage) -> Page:
    page = trial(stage)
    page.get_by_label("Route").fill("matches")
    page.get_by_label("Address").fill("the office")
    page.get_by_role("button", name="Test this key").click()
    page.get_by_role("alert").wait_for()
    return page


def in_use(key: ApiKey) -> None:
    """As after an hour of calls, some of them refused."""
    used(key)
    minute = clock.now().replace(second=0, microsecond=0)
    for ago in range(1, 55):
        counts = {"allowed": 300 + 40 * (ago % 7), "rate_limited": 60 * (ago % 9 == 0)}
        counts |= {"scope_not_granted": 25 * (ago % 11 == 0), "ip_not_allowed": 90 * (ago == 30)}
        start = minute - dt.timedelta(minutes=ago)
        KeyCalls.objects.bulk_create(
            KeyCalls(key=key, period="minute", start=start, outcome=outcome, calls=calls)
            for outcome, calls in counts.items()
            if calls
        )
    refusals = {
        "scope_not_granted": ("203.0.113.7", "/cs2/v1/settlements", DETAIL),
        "ip_not_allowed": ("2001:db8:85a3:1234:5678:8a2e:370:7334", "/cs2/v1/matches", "You call."),
        "not_found": ("203.0.113.7", "/cs2/v1/" + 38 * "ab%20", "There is nothing at this path."),
    }
    KeyRefusal.objects.bulk_create(
        KeyRefusal(
            key=key,
            outcome=outcome,
            address=address,
            at=minute,
            method="GET",
            path=path,
            detail=detail,
            calls=1234,
        )
        for outcome, (address, path, detail) in refusals.items()
    )


def retire(stage: Stage, key: ApiKey) -> None:
    """Rotated, and the old secret is still sent."""
    key.refresh_from_db()
    by = {"tenant": stage.acme, "actor": stage.alice, "origin": COMMAND_LINE}
    rotate_key(key_id=key.pk, version=key.version, **by)  # type: ignore[arg-type]
    SecretUse.objects.create(
        secret=key.secrets.exclude(retired_at=None).get(),
        last_used_at=clock.now() - dt.timedelta(minutes=3),
        last_address="203.0.113.7",
        calls=12,
    )
