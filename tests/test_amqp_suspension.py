"""AMQP while a tenant or its access is suspended, and what the worker puts right."""

from collections.abc import Iterator

import pytest
from django.conf import LazySettings
from django.test import Client
from pika.exceptions import AMQPError

from accounts.models import Tenant, User
from accounts.origin import COMMAND_LINE
from accounts.services.tenants import set_tenant_active
from apikeys.models import AmqpAccess
from apikeys.tasks import keep_amqp_in_step
from portal.lib import clock
from tests.amqp import address, channel, connect, provision
from tests.conftest import signed_in
from tests.pages import text
from tests.rabbit import Rabbit, rabbit, rabbit_server, until
from tests.relay import Relay

__all__ = ["rabbit", "rabbit_server"]  # pytest finds the fixtures here
pytestmark = pytest.mark.service

SUSPENDED = r"user connection limit \(0\) is reached"


@pytest.fixture
def staff(sam: User) -> Client:
    """The panel, seen by staff with a second factor."""
    return signed_in(sam, has_second_factor=True)


@pytest.fixture
def uri(rabbit: Rabbit, staff: Client, acme: Tenant) -> str:
    """Where Acme's programs go, with their password in it."""
    return provision(staff, acme)["uri"]


@pytest.fixture
def relay(rabbit: Rabbit, settings: LazySettings) -> Iterator[Relay]:
    """What the portal takes for the broker."""
    with Relay(rabbit).running() as relay:
        settings.RABBITMQ_MANAGEMENT_URL = relay.url
        yield relay


def is_out(rabbit: Rabbit, uri: str) -> bool:
    """A new connection is refused because of the suspension."""
    with pytest.raises(AMQPError, match=SUSPENDED):
        connect(rabbit, uri)
    return True


@pytest.mark.parametrize("whose", ["tenant", "access"])
def test_suspending_closes_what_is_open_and_refuses_more_and_reactivating_restores_it(
    rabbit: Rabbit, staff: Client, acme: Tenant, uri: str, whose: str
) -> None:
    """With the same password, and the queues that last are still there."""
    page = {"tenant": f"/staff/accounts/tenant/{acme.pk}/", "access": address(acme, "")}[whose]
    with channel(rabbit, uri) as opened:
        queue = opened.queue_declare("", durable=True).method.queue
    program = connect(rabbit, uri)
    answer = staff.post(f"{page}suspend", follow=True)
    assert "uspended" in text(answer) and "has not" not in text(answer)
    with pytest.raises(AMQPError, match="CONNECTION_FORCED"):
        program.process_data_events(10)
    assert is_out(rabbit, uri)
    assert "State: suspended" in text(staff.get(address(acme)))
    staff.post(f"{page}reactivate")
    with channel(rabbit, uri) as opened:
        opened.queue_declare(queue, passive=True)


def test_another_tenants_programs_stay_connected(
    rabbit: Rabbit, staff: Client, acme: Tenant, globex: Tenant, uri: str
) -> None:
    with channel(rabbit, provision(staff, globex)["uri"]) as opened:
        staff.post(f"/staff/accounts/tenant/{acme.pk}/suspend")
        assert opened.queue_declare("", exclusive=True)


def test_access_that_staff_suspended_stays_so_when_the_tenant_comes_back(
    rabbit: Rabbit, staff: Client, acme: Tenant, uri: str
) -> None:
    staff.post(address(acme, "suspend"))
    for act in ("suspend", "reactivate"):
        staff.post(f"/staff/accounts/tenant/{acme.pk}/{act}")
    assert is_out(rabbit, uri)


def test_a_suspension_while_the_broker_is_away_is_told_and_brought_to_it_by_the_worker(
    rabbit: Rabbit, relay: Relay, staff: Client, acme: Tenant, uri: str
) -> None:
    relay.cut_at = len(relay.calls) + 1
    answer = staff.post(f"/staff/accounts/tenant/{acme.pk}/suspend", follow=True)
    assert "Suspended: its keys open nothing" in text(answer)
    assert "The message broker has not heard of it" in text(answer)
    keep_amqp_in_step(timestamp=0)
    shown = text(staff.get(address(acme)))
    assert "State: suspended; the broker has not taken it yet" in shown
    assert "Refuse connections and close the open ones: stopped:" in shown
    connect(rabbit, uri).close()
    relay.mend()
    keep_amqp_in_step(timestamp=0)
    assert is_out(rabbit, uri)
    assert "has not taken it" not in text(staff.get(address(acme)))


def test_a_suspension_made_elsewhere_is_brought_to_the_broker_by_the_worker(
    rabbit: Rabbit, acme: Tenant, uri: str
) -> None:
    """As a command or a hand in psql makes it."""
    for is_active in (False, True):
        set_tenant_active(tenant_id=acme.pk, is_active=is_active, actor=None, origin=COMMAND_LINE)
        keep_amqp_in_step(timestamp=0)
        if is_active:
            connect(rabbit, uri).close()
        else:
            assert is_out(rabbit, uri)


def test_a_connection_that_slipped_in_is_closed_by_the_worker(
    rabbit: Rabbit, staff: Client, acme: Tenant, uri: str
) -> None:
    staff.post(address(acme, "suspend"))
    rabbit.ask("PUT", "user-limits/op-acme/max-connections", {"value": 10})
    program = connect(rabbit, uri)
    keep_amqp_in_step(timestamp=0)
    with pytest.raises(AMQPError, match="CONNECTION_FORCED"):
        program.process_data_events(10)
    assert is_out(rabbit, uri)


def test_a_tenant_that_is_suspended_is_not_provisioned(
    rabbit: Rabbit, staff: Client, acme: Tenant
) -> None:
    set_tenant_active(tenant_id=acme.pk, is_active=False, actor=None, origin=COMMAND_LINE)
    answer = staff.post(address(acme, "provision"), follow=True)
    assert "The tenant is suspended." in text(answer)
    assert [user["name"] for user in rabbit.ask("GET", "users")] == ["portal"]


def test_a_new_password_does_not_end_a_suspension(
    rabbit: Rabbit, staff: Client, acme: Tenant, uri: str
) -> None:
    staff.post(address(acme, "suspend"))
    answer = staff.post(address(acme, "new-password"))
    assert answer.status_code == 200
    assert "State: suspended" in text(staff.get(address(acme)))


def test_the_worker_finishes_a_removal(
    rabbit: Rabbit, relay: Relay, staff: Client, acme: Tenant, uri: str
) -> None:
    relay.cut_at = len(relay.calls) + 3
    staff.post(address(acme, "remove"), {"reason": "contract ended"})
    relay.mend()
    keep_amqp_in_step(timestamp=0)
    assert not AmqpAccess.objects.exists()
    assert [vhost["name"] for vhost in rabbit.ask("GET", "vhosts")] == ["/"]


def test_the_worker_remembers_what_is_on_the_broker(rabbit: Rabbit, acme: Tenant, uri: str) -> None:
    with channel(rabbit, uri) as opened:
        queue = opened.queue_declare("", exclusive=True).method.queue

        def seen() -> object:
            keep_amqp_in_step(timestamp=0)
            return AmqpAccess.objects.get().seen

        consumers = {"name": queue, "messages": 0, "consumers": 0}
        expected = {"connections": 1, "channels": 1, "queues": [consumers]}
        until(lambda: seen() == expected)
        assert clock.now() >= AmqpAccess.objects.get().seen_at  # type: ignore[operator]


def test_without_a_broker_the_worker_has_nothing_to_do(
    acme: Tenant, settings: LazySettings
) -> None:
    settings.RABBITMQ_MANAGEMENT_URL = ""
    access = AmqpAccess.objects.create(
        tenant=acme, provisioned_at=clock.now(), password_set_at=clock.now()
    )
    keep_amqp_in_step(timestamp=0)
    access.refresh_from_db()
    assert access.seen is None
