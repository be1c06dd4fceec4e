"""Overview and API Access."""

import datetime as dt
import uuid
from typing import Any

from playwright.sync_api import Page

from accounts.models import Membership, Role
from accounts.origin import COMMAND_LINE
from apikeys.models import ApiKey, Contract, KeyUse
from apikeys.services import create_key, open_tenant, revoke_key
from portal.lib import clock
from tests.browser.stage import Stage, scene
from tests.conftest import make_authenticator, make_member

KEYS = "client/api-access"
KEY = "client/api-access/<uuid:key_id>"
A_WHILE = dt.timedelta(days=3, hours=2)
MANY_NETWORKS = [
    "203.0.113.0/24",
    "198.51.100.7/32",
    "2001:db8:85a3::/48",
    "2001:db8:85a3:1234:5678:8a2e:370:7334/128",
]
LONG_LABEL = "Pricing-and-risk-engine-of-the-northern-region, production, second datacentre, b"


@scene("client/", "Overview")
def overview_on_the_first_day(stage: Stage) -> Page:
    return stage.as_alice("/client/")


@scene("client/", "Overview")
def overview_of_a_viewer(stage: Stage) -> Page:
    return stage.seen_by(make_member(stage.acme, "Victor", Role.VIEWER), "/client/")


@scene("client/", "Overview")
def overview_in_use(stage: Stage) -> Page:
    make_authenticator(stage.alice)
    used(make_key(stage))
    return stage.seen_by(stage.alice, "/client/", has_second_factor=True)


@scene("client/", "Overview")
def overview_with_two_tenants(stage: Stage) -> Page:
    other = open_tenant(
        slug="globex",
        name="Globex International Sportsbook and Racing",
        actor=None,
        origin=COMMAND_LINE,
    )
    Membership.objects.create(tenant=other, user=stage.alice, role=Role.TRADER)
    return stage.as_alice("/client/")


@scene(KEYS, "API Access")
def no_keys(stage: Stage) -> Page:
    return stage.as_alice("/client/api-access")


@scene(KEYS, "API Access")
def no_keys_for_a_viewer(stage: Stage) -> Page:
    return stage.seen_by(make_member(stage.acme, "Victor", Role.VIEWER), "/client/api-access")


@scene(KEYS, "API Access")
def three_keys(stage: Stage) -> Page:
    make_key(stage)
    make_key(stage, label="Settlement", allowlist=["203.0.113.7/32"])
    used(make_key(stage, label="Trading screens", allowlist=["203.0.113.0/24"]))
    return stage.as_alice("/client/api-access")


@scene(KEYS, "API Access")
def three_keys_for_a_viewer(stage: Stage) -> Page:
    three_keys(stage)
    return stage.seen_by(make_member(stage.acme, "Victor", Role.VIEWER), "/client/api-access")


@scene(KEYS, "API Access")
def many_keys_with_long_labels_and_revoked_ones(stage: Stage) -> Page:
    Contract.objects.filter(tenant=stage.acme).update(max_keys=30)
    for number in range(25):
        key = make_key(stage, label=f"{number} {LONG_LABEL}"[:80], allowlist=MANY_NETWORKS)
        if number % 2:
            used(key, address="2001:db8:85a3:1234:5678:8a2e:370:7334")
    for number in range(3):
        revoke(stage, make_key(stage, label=f"{number} {LONG_LABEL}"[:80]))
    page = stage.as_alice("/client/api-access")
    page.get_by_text("Revoked keys (3)").click()
    return page


@scene(f"{KEYS}/new", "New API Key")
def new_key(stage: Stage) -> Page:
    return stage.as_alice("/client/api-access/new")


@scene(f"{KEYS}/new", "New API Key")
def new_key_with_errors(stage: Stage) -> Page:
    page = new_key(stage)
    page.get_by_label("Label").fill(" ")
    page.get_by_label("IP allowlist").fill("203.0.113.7/24, not an address, 0.0.0.0/0")
    for box in page.get_by_role("checkbox").all():
        box.uncheck()
    page.get_by_role("button", name="Create key").click()
    page.get_by_role("alert").wait_for()
    return page


@scene(f"{KEYS}/new", "Save this key now")
def secret(stage: Stage) -> Page:
    page = new_key(stage)
    page.get_by_label("Label").fill("Pricing")
    page.get_by_label("IP allowlist").fill("203.0.113.0/24")  # not the browser's: a warning
    page.get_by_role("button", name="Create key").click()
    page.get_by_label("API key", exact=True).wait_for()
    return page


@scene(f"{KEYS}/new", "This key is made already")
def form_sent_twice(stage: Stage) -> Page:
    page = secret(stage)
    page.reload()
    return page


@scene(f"{KEY}/rotate", "Save this key now")
def secret_of_a_rotation(stage: Stage) -> Page:
    page = rotate(stage)
    page.get_by_role("button", name="Rotate key").click()
    page.get_by_label("API key", exact=True).wait_for()
    return page


@scene(KEY, "Pricing")
def key(stage: Stage) -> Page:
    made = make_key(stage, allowlist=MANY_NETWORKS)
    used(made)
    return stage.as_alice(f"/client/api-access/{made.pk}")


@scene(KEY, LONG_LABEL)
def key_with_a_long_label_open_to_all(stage: Stage) -> Page:
    made = make_key(stage, label=LONG_LABEL)
    return stage.as_alice(f"/client/api-access/{made.pk}")


@scene(KEY, "Pricing")
def key_that_is_revoked(stage: Stage) -> Page:
    made = make_key(stage)
    revoke(stage, made)
    return stage.as_alice(f"/client/api-access/{made.pk}")


@scene(f"{KEY}/edit", "Edit “Pricing”")
def edit(stage: Stage) -> Page:
    made = make_key(stage, allowlist=MANY_NETWORKS)
    return stage.as_alice(f"/client/api-access/{made.pk}/edit")


@scene(f"{KEY}/edit", "Edit “Pricing”")
def edit_with_errors(stage: Stage) -> Page:
    page = edit(stage)
    page.get_by_label("IP allowlist").fill("203.0.113.7/24")
    page.get_by_role("button", name="Save changes").click()
    page.get_by_role("alert").wait_for()
    return page


@scene(KEY, "Pricing")
def edit_done_with_a_warning(stage: Stage) -> Page:
    page = edit(stage)
    page.get_by_label("IP allowlist").fill("203.0.113.7")
    page.get_by_role("button", name="Save changes").click()
    page.get_by_text("is not on the allowlist").first.wait_for()
    return page


@scene(f"{KEY}/rotate", "Rotate “Pricing”")
def rotate(stage: Stage) -> Page:
    made = make_key(stage)
    used(made)
    return stage.as_alice(f"/client/api-access/{made.pk}/rotate")


@scene(f"{KEY}/rotate", "This page was out of date")
def rotate_out_of_date(stage: Stage) -> Page:
    page = rotate(stage)
    other_tab = page.context.new_page()
    other_tab.goto(page.url)
    other_tab.get_by_role("button", name="Rotate key").click()
    other_tab.get_by_label("API key", exact=True).wait_for()
    page.get_by_role("button", name="Rotate key").click()
    return page


@scene(f"{KEY}/revoke", "Revoke “Pricing”")
def revoking(stage: Stage) -> Page:
    made = make_key(stage)
    return stage.as_alice(f"/client/api-access/{made.pk}/revoke")


@scene(f"{KEY}/rotate", "This key is revoked")
def rotate_what_is_revoked(stage: Stage) -> Page:
    made = make_key(stage)
    revoke(stage, made)
    return stage.as_alice(f"/client/api-access/{made.pk}/rotate")


def make_key(stage: Stage, **given: Any) -> ApiKey:
    """A key of Acme, made by Alice."""
    asked: dict[str, Any] = {"label": "Pricing", "allowlist": [], "nonce": uuid.uuid4()}
    asked["scopes"] = Contract.objects.get(tenant=stage.acme).scopes
    by = {"tenant": stage.acme, "actor": stage.alice, "origin": COMMAND_LINE}
    return create_key(**by, **(asked | given)).key


def used(key: ApiKey, address: str = "203.0.113.7") -> None:
    """As if a call had been let in with it."""
    KeyUse.objects.create(key=key, last_used_at=clock.now() - A_WHILE, last_address=address)


def revoke(stage: Stage, key: ApiKey) -> None:
    revoke_key(
        tenant=stage.acme,
        key_id=key.pk,
        version=ApiKey.objects.get(pk=key.pk).version,
        actor=stage.alice,
        origin=COMMAND_LINE,
    )
