"""Delivery credentials: what the page says of REST, WebSocket and AMQP, and asking for AMQP."""

import datetime as dt
import socket

import pytest
from django.conf import LazySettings
from django.test import Client

from accounts.models import Action, AuditEvent, Tenant, User
from apikeys.models import AmqpAccess, Contract
from apikeys.tasks import keep_amqp_in_step
from portal.lib import clock
from tests.amqp import channel, new_password, provision
from tests.conftest import signed_in
from tests.pages import Page, text
from tests.rabbit import Rabbit, rabbit, rabbit_server, until

__all__ = ["rabbit", "rabbit_server"]  # pytest finds the fixtures here

PAGE = "/client/delivery"


@pytest.fixture
def staff(sam: User) -> Client:
    """The panel, seen by staff with a second factor."""
    return signed_in(sam, has_second_factor=True)


def issued(acme: Tenant, **columns: object) -> AmqpAccess:
    """As provisioning leaves it, without a broker."""
    at = dt.datetime(2026, 5, 3, 9, 30, tzinfo=dt.UTC)
    given = {"provisioned_at": at, "password_set_at": at, **columns}
    return AmqpAccess.objects.create(tenant=acme, **given)


def test_it_says_where_rest_and_websocket_are_with_what_and_how_much(
    acme: Tenant, victor: User
) -> None:
    Contract.objects.filter(tenant=acme).update(limit_rpm=90, max_streams=7)
    page = text(signed_in(victor).get(PAGE))
    for said in (
        "http://localhost:8000/cs2/v1",
        "X-API-Key: $TT_KEY",
        "90 requests a minute for each key",
        "ws://localhost:8000/cs2/v1/stream",
        "?api_key=$TT_KEY",
        "7 open at once",
    ):
        assert said in page


def test_over_https_the_streams_are_wss(victor: User, settings: LazySettings) -> None:
    settings.FEED_BASE_URL = "https://feed.example"
    page = text(signed_in(victor).get(PAGE))
    assert "https://feed.example/cs2/v1" in page and "wss://feed.example/cs2/v1/stream" in page


def test_without_amqp_it_says_what_that_is_and_a_developer_asks_for_it_once(
    acme: Tenant, dave: User, staff: Client
) -> None:
    client = signed_in(dave)
    assert "the same feed, pushed into queues of your own" in text(client.get(PAGE)).lower()
    assert "Ask for AMQP access" in text(client.get(PAGE))
    answer = client.post(f"{PAGE}/ask-for-amqp", follow=True)
    assert "We were asked, and will write to you." in text(answer)
    assert "Asked for access, Dave" in text(answer)
    assert "Ask for AMQP access" not in text(answer)
    again = client.post(f"{PAGE}/ask-for-amqp", follow=True)
    assert "We were asked already" in text(again)
    (event,) = AuditEvent.objects.filter(action=Action.AMQP_REQUESTED)
    assert (event.actor_name, event.detail) == ("Dave", {"what": "access"})
    assert "1 request for AMQP waits" in text(staff.get("/staff/"))
    row = text(staff.get("/staff/apikeys/amqpaccess/"))
    assert "Acme Sportsbook not provisioned" in row and "access · Dave" in row


def test_whoever_may_not_ask_is_told_who_may(victor: User, tina: User) -> None:
    for user in (victor, tina):
        page = signed_in(user).get(PAGE)
        assert "An owner or a developer of your team can ask for it here." in text(page)
        assert '<form method="post" action="/client/delivery' not in page.content.decode()
        assert signed_in(user).post(f"{PAGE}/ask-for-amqp").status_code == 403
    assert not AmqpAccess.objects.exists()


def test_what_does_not_fit_any_more_is_not_asked_for(acme: Tenant, alice: User) -> None:
    client = signed_in(alice)
    answer = client.post(f"{PAGE}/ask-for-password", follow=True)
    assert "Nothing was asked for: the page was out of date." in text(answer)
    issued(acme)
    answer = client.post(f"{PAGE}/ask-for-amqp", follow=True)
    assert "Nothing was asked for" in text(answer)
    assert not AuditEvent.objects.filter(action=Action.AMQP_REQUESTED).exists()


def test_with_amqp_it_says_everything_but_the_password(acme: Tenant, victor: User) -> None:
    issued(acme)
    page = text(signed_in(victor).get(PAGE))
    for said in (
        "AMQP Ready",
        "Host mq.ticktock.bet",
        "5671 with TLS, 5672 without",
        "Virtual host acme",
        "Username op-acme",
        "issued 2026-05-03 09:30 UTC",
        "shown once",
        "Exchange ttfeed (topic)",
        "10 connections, 200 channels, 10 queues",
        "amqps://op-acme:$TT_AMQP_PASSWORD@mq.ticktock.bet:5671/acme",
        "amqp://op-acme:$TT_AMQP_PASSWORD@mq.ticktock.bet:5672/acme",
    ):
        assert said in page
    assert page.index("amqps://") < page.index("amqp://")


def test_another_tenants_access_is_not_on_it(acme: Tenant, mallory: User) -> None:
    issued(acme)
    page = text(signed_in(mallory).get(PAGE))
    assert "op-acme" not in page and "Ask for AMQP access" in page


def test_access_that_is_not_whole_is_not_shown_as_ready(acme: Tenant, alice: User) -> None:
    client = signed_in(alice)
    AmqpAccess.objects.create(tenant=acme)
    assert "Host mq." not in text(client.get(PAGE))
    AmqpAccess.objects.all().delete()
    issued(acme, removal_asked_at=clock.now())
    assert "Your access is being removed at the moment." in text(client.get(PAGE))


def test_access_that_is_suspended_says_so_and_whom_to_write_to(acme: Tenant, alice: User) -> None:
    issued(acme, suspended_at=clock.now())
    page = text(signed_in(alice).get(PAGE))
    assert "AMQP Suspended" in page and "Write to b2b@ticktock.bet." in page


def test_with_the_broker_away_it_says_what_was_seen_last_and_its_age(
    acme: Tenant, alice: User, settings: LazySettings
) -> None:
    settings.RABBITMQ_MANAGEMENT_URL = "http://portal:word@127.0.0.1:1"
    access = issued(acme)
    client = signed_in(alice)
    assert "The broker does not answer just now, and was not seen before." in text(client.get(PAGE))
    access.seen = {
        "connections": 3,
        "channels": 5,
        "queues": [{"name": "amq.gen-a", "messages": 41, "consumers": 0}],
    }
    access.seen_at = clock.now() - dt.timedelta(hours=2)
    access.save()
    page = text(client.get(PAGE))
    for said in ("seen last", "Last known", "2 hours ago", "3 of 10", "5 of 200", "1 of 10"):
        assert said in page
    assert "amq.gen-a 41 0 Nobody reads it" in page


def test_a_broker_that_does_not_answer_is_asked_once_and_then_let_be(
    acme: Tenant, alice: User, settings: LazySettings
) -> None:
    """It takes connections and says nothing: one page waits for it, the next ones do not."""
    issued(acme)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.RABBITMQ_MANAGEMENT_URL = f"http://portal:word@127.0.0.1:{silent.getsockname()[1]}"
        for _ in range(3):
            assert "The broker does not answer just now" in text(signed_in(alice).get(PAGE))
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


@pytest.mark.service
def test_it_shows_what_is_on_the_broker_now(
    rabbit: Rabbit, staff: Client, acme: Tenant, alice: User
) -> None:
    uri = provision(staff, acme)["uri"]
    client = signed_in(alice)
    with channel(rabbit, uri) as opened:
        queue = opened.queue_declare("", exclusive=True).method.queue
        opened.queue_bind(queue, "ttfeed", "#")
        rabbit.publish("acme", "cs2.matches.1", {})
        until(lambda: f"{queue} 1 0 Nobody reads it" in text(client.get(PAGE)))
        page = text(client.get(PAGE))
        assert "Seen 20" in page and "Last known" not in page
        assert "Connections 1 of 10 Channels 1 of 200 Queues 1 of 10" in page


@pytest.mark.service
def test_a_new_password_that_was_asked_for_ends_the_request(
    rabbit: Rabbit, staff: Client, acme: Tenant, alice: User
) -> None:
    client = signed_in(alice)
    client.post(f"{PAGE}/ask-for-amqp")
    provision(staff, acme)
    assert "Asked for" not in text(client.get(PAGE))
    assert "request for AMQP" not in text(staff.get("/staff/"))
    answer = client.post(f"{PAGE}/ask-for-password", follow=True)
    assert "Asked for a new password, Alice" in text(answer)
    assert "1 request for AMQP waits" in text(staff.get("/staff/"))
    new_password(staff, acme)
    assert "Asked for" not in text(client.get(PAGE))


def test_it_is_in_the_navigation(victor: User) -> None:
    assert PAGE in Page(signed_in(victor).get("/client/")).links
    assert 'href="/client/delivery" aria-current="page"' in (
        signed_in(victor).get(PAGE).content.decode()
    )


def test_the_worker_writes_nothing_for_somebody_without_access(acme: Tenant) -> None:
    keep_amqp_in_step(timestamp=0)
    assert not AmqpAccess.objects.exists()
