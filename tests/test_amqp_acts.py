"""What staff do about AMQP: provisioning that stops and goes on, new passwords, removal.

The broker is a real one. Where it is to be away at a certain call, a relay stands before it.
"""

from collections.abc import Iterator
from functools import partial

import psycopg
import pytest
from django.conf import LazySettings
from django.test import Client
from pika.exceptions import AMQPError

from accounts.models import Action, AuditEvent, Tenant, User
from apikeys.amqp.acts import LOCK
from apikeys.models import AmqpAccess, AmqpState, AmqpStep
from tests.amqp import address, connect, new_password, provision, shown
from tests.at_once import at_once, browser, events
from tests.conftest import signed_in, with_database
from tests.pages import session_cookie, text
from tests.rabbit import Rabbit, rabbit, rabbit_server
from tests.relay import Relay

__all__ = ["rabbit", "rabbit_server"]  # pytest finds the fixtures here
pytestmark = pytest.mark.service

CALLS = 10  # that provisioning takes
FIRST_CALL = {1: "Virtual host", 3: "Exchange", 4: "User", 5: "Permissions", 7: "Limits"}
FIRST_CALL[CALLS] = "Password"


@pytest.fixture
def staff(sam: User) -> Client:
    """The panel, seen by staff with a second factor."""
    return signed_in(sam, has_second_factor=True)


@pytest.fixture
def relay(rabbit: Rabbit, settings: LazySettings) -> Iterator[Relay]:
    """What the portal takes for the broker."""
    with Relay(rabbit).running() as relay:
        settings.RABBITMQ_MANAGEMENT_URL = relay.url
        yield relay


def page(staff: Client, tenant: Tenant) -> str:
    """The words of the access's page in the panel."""
    return text(staff.get(address(tenant)))


def users(rabbit: Rabbit) -> list[str]:
    """All that the broker has, besides its administrator."""
    return [user["name"] for user in rabbit.ask("GET", "users") if user["name"] != "portal"]


def test_provisioning_takes_its_steps_and_shows_the_password_in_that_answer_alone(
    relay: Relay, staff: Client, acme: Tenant
) -> None:
    assert "not provisioned" in page(staff, acme)
    answer = staff.post(address(acme, "provision"))
    given = shown(answer)
    assert "no-store" in answer.headers["Cache-Control"]
    assert "Username op-acme" in text(answer) and "Virtual host acme" in text(answer)
    assert len(relay.calls) == CALLS
    after = page(staff, acme)
    assert "State: ready" in after
    for step in ("Virtual host", "Exchange", "Permissions", "Limits", "Password"):
        assert f"{step}: done" in after
    assert given["password"] not in after


@pytest.mark.parametrize("is_late", [False, True], ids=["never arrived", "answer lost"])
@pytest.mark.parametrize("number", range(1, CALLS + 1))
def test_with_the_broker_away_at_any_call_retry_finishes_it(
    rabbit: Rabbit, relay: Relay, staff: Client, acme: Tenant, number: int, is_late: bool
) -> None:
    """It is not shown as ready, the step is named, and in the end there is one user, and whole."""
    relay.cut_at, relay.is_late = number, is_late
    step = FIRST_CALL[max(first for first in FIRST_CALL if first <= number)]
    answer = staff.post(address(acme, "provision"), follow=True)
    assert "secret" not in answer.content.decode()
    assert f"It stopped at “{step}" in text(answer) and "Retry" in text(answer)
    assert "State: not finished" in text(answer) and f"{step}: done" not in text(answer)
    assert AmqpAccess.objects.get().state == AmqpState.UNFINISHED

    relay.mend()
    given = shown(staff.post(address(acme, "retry")))
    assert users(rabbit) == ["op-acme"]
    connect(rabbit, given["uri"]).close()
    assert AmqpAccess.objects.get().state == AmqpState.READY
    assert len(relay.calls) < CALLS or number <= 2  # what was done is not done again
    assert AuditEvent.objects.filter(action=Action.AMQP_PROVISIONED).count() == 1


def test_the_broker_dies_at_every_step_in_turn_and_it_ends_whole(
    committed_db: None, rabbit: Rabbit, relay: Relay, staff: Client, acme: Tenant
) -> None:
    """Killed and started again each time: it keeps what it had said it did."""
    # Each time the step that failed is taken again, and the next one's first call finds nobody.
    for step, act, fatal in zip(
        FIRST_CALL.values(), ["provision", *["retry"] * 5], [1, 3, 2, 2, 3, 4], strict=True
    ):
        relay.mend()
        relay.before_a_call = lambda number, fatal=fatal: number == fatal and rabbit.kill()  # type: ignore[misc]
        answer = staff.post(address(acme, act), follow=True)
        assert f"It stopped at “{step}" in text(answer)
        rabbit.start()
    relay.mend()
    given = shown(staff.post(address(acme, "retry")))
    assert users(rabbit) == ["op-acme"]
    connect(rabbit, given["uri"]).close()


def test_what_somebody_removed_on_the_broker_meanwhile_is_made_again(
    rabbit: Rabbit, relay: Relay, staff: Client, acme: Tenant
) -> None:
    relay.cut_at = 7
    staff.post(address(acme, "provision"))
    rabbit.ask("DELETE", "users/op-acme")
    relay.mend()
    assert "It stopped at “Limits" in text(staff.post(address(acme, "retry"), follow=True))
    connect(rabbit, shown(staff.post(address(acme, "retry")))["uri"]).close()


def test_the_brokers_own_no_is_said(rabbit: Rabbit, staff: Client, acme: Tenant) -> None:
    """An exchange of that name and another kind is in the way."""
    rabbit.ask("PUT", "vhosts/acme", {})
    rabbit.ask("PUT", "exchanges/acme/ttfeed", {"type": "fanout"})
    answer = staff.post(address(acme, "provision"), follow=True)
    assert "It stopped at “Exchange”: 400" in text(answer) and "inequivalent arg" in text(answer)


def test_a_wrong_account_for_the_broker_is_said_and_not_shown(
    rabbit: Rabbit, staff: Client, acme: Tenant, settings: LazySettings
) -> None:
    settings.RABBITMQ_MANAGEMENT_URL = f"http://portal:wrong-word@127.0.0.1:{rabbit.management}"
    answer = staff.post(address(acme, "provision"), follow=True)
    assert "It stopped at “Virtual host”: 401" in text(answer)
    assert "wrong-word" not in answer.content.decode()


def test_while_somebody_is_at_it_nobody_else_is(
    rabbit: Rabbit, relay: Relay, staff: Client, acme: Tenant, settings: LazySettings
) -> None:
    name = settings.DATABASES["default"]["NAME"]
    with psycopg.connect(with_database(settings.DATABASE_URL, name)) as other:
        other.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", [LOCK, str(acme.pk)])
        answer = staff.post(address(acme, "provision"), follow=True)
        assert "Somebody else is at this access just now" in text(answer)
        assert relay.calls == []
    provision(staff, acme)


def test_of_six_at_once_one_gets_the_password_and_it_is_the_right_one(
    committed_db: None, rabbit: Rabbit, staff: Client, acme: Tenant
) -> None:
    browsers = [browser(session_cookie(staff)) for _ in range(6)]
    answers = at_once([partial(each.post, address(acme, "provision")) for each in browsers])
    (winner,) = [answer for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in answers} == {200, 302}
    connect(rabbit, shown(winner)["uri"]).close()
    assert events(Action.AMQP_PROVISIONED) == 1 and users(rabbit) == ["op-acme"]


def test_an_act_on_a_page_that_is_out_of_date_is_refused_with_the_state(
    rabbit: Rabbit, staff: Client, acme: Tenant
) -> None:
    answer = staff.post(address(acme, "new-password"), follow=True)
    assert "by now the access is not provisioned" in text(answer)
    given = provision(staff, acme)
    assert "The broker is in step." in text(staff.post(address(acme, "provision"), follow=True))
    assert "The broker is in step." in text(staff.post(address(acme, "retry"), follow=True))
    connect(rabbit, given["uri"]).close()


def test_a_new_password_that_could_not_be_set_leaves_the_old_one(
    rabbit: Rabbit, relay: Relay, staff: Client, acme: Tenant
) -> None:
    given = provision(staff, acme)
    relay.cut_at = len(relay.calls) + 1
    answer = staff.post(address(acme, "new-password"), follow=True)
    assert "It stopped at “Password”" in text(answer)
    connect(rabbit, given["uri"]).close()
    relay.mend()
    connect(rabbit, new_password(staff, acme)["uri"]).close()


def test_a_new_password_is_shown_even_when_the_old_connections_could_not_be_closed(
    rabbit: Rabbit, relay: Relay, staff: Client, acme: Tenant
) -> None:
    provision(staff, acme)
    relay.cut_at = len(relay.calls) + 2
    answer = staff.post(address(acme, "new-password"))
    assert "could not be closed" in text(answer)
    connect(rabbit, shown(answer)["uri"]).close()


def test_removal_leaves_nothing_and_it_can_be_provisioned_anew(
    rabbit: Rabbit, staff: Client, acme: Tenant
) -> None:
    given = provision(staff, acme)
    program = connect(rabbit, given["uri"])
    refused = staff.post(address(acme, "remove"), follow=True)
    assert "Give a reason" in text(refused)
    answer = staff.post(address(acme, "remove"), {"reason": "contract ended"}, follow=True)
    assert "Removed: user, virtual host and queues are gone." in text(answer)
    assert "State: not provisioned" in text(answer)
    with pytest.raises(AMQPError):
        program.process_data_events(10)
    assert users(rabbit) == []
    assert [vhost["name"] for vhost in rabbit.ask("GET", "vhosts")] == ["/"]
    assert AuditEvent.objects.get(action=Action.AMQP_REMOVED).detail == {"reason": "contract ended"}
    connect(rabbit, provision(staff, acme)["uri"]).close()


def test_a_removal_that_stopped_is_finished_by_retry(
    rabbit: Rabbit, relay: Relay, staff: Client, acme: Tenant
) -> None:
    provision(staff, acme)
    relay.cut_at = len(relay.calls) + 2
    answer = staff.post(address(acme, "remove"), {"reason": "contract ended"}, follow=True)
    assert "the broker has not taken it yet" in text(answer)
    assert "State: being removed; the broker has not taken it yet" in text(answer)
    assert "It is tried again every minute" in text(answer)
    relay.mend()
    staff.post(address(acme, "retry"))
    assert users(rabbit) == [] and not AmqpAccess.objects.exists()


def test_without_a_broker_staff_are_told_what_to_set(
    staff: Client, acme: Tenant, settings: LazySettings
) -> None:
    settings.RABBITMQ_MANAGEMENT_URL = ""
    assert "not provisioned; no broker is configured" in page(staff, acme)
    answer = staff.post(address(acme, "provision"), follow=True)
    assert "RABBITMQ_MANAGEMENT_URL is not set" in text(answer)
    assert not AmqpStep.objects.exists()
