"""The AMQP password is in one answer, and in nothing that is kept."""

from collections.abc import Iterator

import pytest
from django.conf import LazySettings
from django.core import mail
from django.test import Client

from accounts.models import Action, AuditEvent, Tenant, User
from accounts.tasks import send_notice
from apikeys.tasks import keep_amqp_in_step
from tests.amqp import address, connect, new_password, provision
from tests.conftest import signed_in
from tests.mailbox import queued
from tests.pages import whole_dump
from tests.rabbit import Rabbit, rabbit, rabbit_server
from tests.relay import Relay

__all__ = ["rabbit", "rabbit_server"]  # pytest finds the fixtures here
pytestmark = pytest.mark.service


@pytest.fixture
def staff(sam: User) -> Client:
    """The panel, seen by staff with a second factor."""
    return signed_in(sam, has_second_factor=True)


@pytest.fixture
def relay(rabbit: Rabbit, settings: LazySettings) -> Iterator[Relay]:
    """What the portal takes for the broker, and what it says to it."""
    with Relay(rabbit).running() as relay:
        settings.RABBITMQ_MANAGEMENT_URL = relay.url
        yield relay


def test_the_password_is_in_no_log_no_table_no_mail_and_no_audit_row(
    rabbit: Rabbit,
    relay: Relay,
    staff: Client,
    acme: Tenant,
    alice: User,
    dave: User,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    given = [provision(staff, acme), new_password(staff, acme)]
    connect(rabbit, given[1]["uri"]).close()
    keep_amqp_in_step(timestamp=0)
    jobs = queued("amqp")
    for job in jobs:
        send_notice(job.name, job.user_id, job.context)
    pages = [
        signed_in(alice).get("/client/delivery"),
        signed_in(alice).get("/client/activity"),
        staff.get(address(acme)),
        staff.get("/staff/apikeys/amqpaccess/"),
        staff.get("/staff/accounts/auditevent/"),
    ]
    kept = {
        "the log": caplog.text,
        "the database": whole_dump(),
        "mails": "".join(str(message.message()) for message in mail.outbox),
        "audit": str(list(AuditEvent.objects.values())),
        "what the broker is told": repr(relay.bodies),
        "the broker's log": "".join(
            path.read_text() for path in (rabbit.folder / "log").rglob("*.log")
        ),
        "pages": "".join(page.content.decode() for page in pages),
        "cookies": str(staff.cookies),
    }
    assert len(mail.outbox) == 4 and "amqp.password_set" in kept["audit"]
    assert kept["what the broker is told"].count('"password_hash": "') == 3  # one of them empty
    for each in given:
        assert len(each["password"]) >= 40
        found = [where for where, what in kept.items() if each["password"] in what]
        assert found == []


def test_owners_and_developers_hear_that_one_was_issued(
    rabbit: Rabbit, staff: Client, acme: Tenant, alice: User, dave: User, tina: User
) -> None:
    """By name, and that it comes by another way."""
    provision(staff, acme)
    people = {str(user.pk): user.username for user in (alice, dave, tina)}
    assert {people[job.user_id] for job in queued("amqp")} == {"Alice", "Dave"}
    event = AuditEvent.objects.get(action=Action.AMQP_PROVISIONED)
    assert (event.tenant_id, event.actor_name) == (acme.pk, "Sam")


def test_reloading_the_page_sets_another_and_shows_that(
    rabbit: Rabbit, staff: Client, acme: Tenant
) -> None:
    """What is on the screen last is what opens."""
    provision(staff, acme)
    first, last = new_password(staff, acme), new_password(staff, acme)
    assert first != last
    connect(rabbit, last["uri"]).close()
