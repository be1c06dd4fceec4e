"""Delivery credentials, and AMQP in the panel."""

import datetime as dt
from typing import Any

from playwright.sync_api import Page

from accounts.models import Role
from apikeys.models import AmqpAccess, AmqpRequest, AmqpStep, Step
from portal.lib import clock
from tests.browser.stage import Stage, scene
from tests.conftest import make_member

DELIVERY = "client/delivery"
PANEL = "staff/apikeys/amqpaccess/"
A_WHILE = dt.timedelta(hours=5)
SEEN = {
    "connections": 2,
    "channels": 7,
    "queues": [
        {"name": "amq.gen-0b7Z9xqJ3mT1kQ2wXc4vRg", "messages": 1204, "consumers": 0},
        {"name": "amq.gen-Jc9sWmYp2LhT8dQx5nVbKA", "messages": 0, "consumers": 2},
        {"name": "amq.gen-qL1fZr7uEo6yHtBs3aMwNd", "messages": None, "consumers": None},
    ],
}


def access(stage: Stage, **columns: Any) -> AmqpAccess:
    """Provisioned a while ago, and seen by the worker since."""
    at = clock.now() - A_WHILE
    given = {"provisioned_at": at, "password_set_at": at, "seen": SEEN, "seen_at": at}
    return AmqpAccess.objects.create(tenant=stage.acme, **(given | columns))


@scene(DELIVERY, "Delivery credentials")
def delivery_without_amqp(stage: Stage) -> Page:
    return stage.as_alice(f"/{DELIVERY}")


@scene(DELIVERY, "Delivery credentials")
def delivery_for_a_viewer(stage: Stage) -> Page:
    return stage.seen_by(make_member(stage.acme, "Victor", Role.VIEWER), f"/{DELIVERY}")


@scene(DELIVERY, "Delivery credentials")
def delivery_with_amqp_asked_for(stage: Stage) -> Page:
    page = delivery_without_amqp(stage)
    page.get_by_role("button", name="Ask for AMQP access").click()
    page.get_by_text("We were asked, and will write to you.").wait_for()
    return page


@scene(DELIVERY, "Delivery credentials")
def delivery_with_amqp(stage: Stage) -> Page:
    access(stage)
    page = stage.as_alice(f"/{DELIVERY}")
    page.evaluate("document.querySelectorAll('main details').forEach(fold => (fold.open = true))")
    return page


@scene(DELIVERY, "Delivery credentials")
def delivery_suspended_and_never_seen(stage: Stage) -> Page:
    access(stage, suspended_at=clock.now(), seen=None, seen_at=None)
    return stage.as_alice(f"/{DELIVERY}")


def asked(stage: Stage, **columns: Any) -> AmqpAccess:
    """Alice waits for staff."""
    given = {"request": AmqpRequest.ACCESS, "requested_at": clock.now() - A_WHILE}
    return AmqpAccess.objects.create(
        tenant=stage.acme, requested_by=stage.alice, **(given | columns)
    )


@scene("staff/", "What staff look after")
def panel_with_somebody_waiting(stage: Stage) -> Page:
    asked(stage)
    return stage.as_staff("/staff/")


@scene(PANEL, "AMQP access")
def amqp_accesses(stage: Stage) -> Page:
    asked(stage)
    return stage.as_staff(f"/{PANEL}")


@scene(f"{PANEL}<path:object_id>/change/", "View AMQP access")
def amqp_access_that_is_none(stage: Stage) -> Page:
    return stage.as_staff(f"/{PANEL}{stage.acme.pk}/change/")


@scene(f"{PANEL}<path:object_id>/change/", "View AMQP access")
def amqp_access_that_stopped(stage: Stage) -> Page:
    asked(stage)
    for step in (Step.VHOST, Step.EXCHANGE):
        AmqpStep.mark_done(stage.acme, step)
    AmqpStep.mark_failed(stage.acme, Step.USER, "[Errno 111] Connection refused")
    return stage.as_staff(f"/{PANEL}{stage.acme.pk}/change/")


@scene(f"{PANEL}<path:object_id>/change/", "View AMQP access")
def amqp_access_in_force(stage: Stage) -> Page:
    access(stage)
    return stage.as_staff(f"/{PANEL}{stage.acme.pk}/change/")
