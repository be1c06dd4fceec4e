"""The queue of mails and its worker, for real: nothing is lost, nobody waits for a mail server."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections
from procrastinate.contrib.django.models import ProcrastinateJob

from accounts.models import Membership, Role, Tenant, User
from accounts.tasks import RETRIES, take_up_again
from tests.conftest import make_member, signed_in
from tests.mailbox import (
    SMTP,
    empty_queue,
    html_of,
    mail_server,
    queued,
    text_of,
    work,
)

pytestmark = [pytest.mark.service, pytest.mark.usefixtures("committed_db", "clean_queue")]


@pytest.fixture
def clean_queue(committed_db: None) -> Iterator[None]:
    """Only what the test puts there."""
    empty_queue()
    yield
    empty_queue()


@pytest.fixture
def victor(acme: Tenant) -> User:
    """Whose role Alice will change."""
    return make_member(acme, "Victor", Role.VIEWER)


@pytest.fixture
def away(settings: Any) -> None:
    """The mail server is not there."""
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = SMTP, "127.0.0.1", 1


def promote(alice: User, victor: User) -> Any:
    """An act with a mail: to Victor, about his role."""
    path = f"/client/team/{Membership.objects.get(user=victor).pk}/role"
    return signed_in(alice).post(path, {"role": Role.TRADER})


def the_job() -> ProcrastinateJob:
    return ProcrastinateJob.objects.get(task_name="accounts.tasks.send_notice")


def change_job(columns: str) -> None:
    """As time and accidents do."""
    with connections["owner"].cursor() as cursor:
        cursor.execute(f"UPDATE procrastinate_jobs SET {columns} WHERE queue_name = 'mail'")


def test_the_worker_sends_what_was_queued_once(alice: User, victor: User) -> None:
    assert promote(alice, victor).status_code == 302
    with mail_server() as postbox:
        work()
        work()
    (message,) = postbox.received
    assert message["To"] == "victor@example.com"
    assert message["Subject"] == "Your role in Acme Sportsbook"
    assert "Alice gave you the role" in text_of(message)
    assert "Alice gave you the role" in html_of(message)
    assert not queued()  # what was done is not kept


@pytest.mark.usefixtures("away")
def test_a_mail_server_that_is_away_loses_nothing(alice: User, victor: User) -> None:
    promote(alice, victor)
    before = dt.datetime.now(dt.UTC)
    work()
    job = the_job()
    assert (job.status, job.attempts) == ("todo", 1)
    assert job.scheduled_at is not None
    wait = job.scheduled_at - before
    assert dt.timedelta(seconds=25) < wait < dt.timedelta(minutes=2)
    change_job("scheduled_at = now()")
    with mail_server() as postbox:
        work()
    assert [message["To"] for message in postbox.received] == ["victor@example.com"]
    assert not queued()


@pytest.mark.usefixtures("away")
def test_one_that_waits_holds_up_no_other(alice: User, victor: User) -> None:
    promote(alice, victor)
    work()
    Membership.objects.filter(user=victor).update(role=Role.VIEWER)
    promote(alice, victor)
    with mail_server() as postbox:
        work()
    assert len(postbox.received) == 1
    assert len(queued()) == 1


def test_no_page_waits_for_a_mail_server(alice: User, victor: User, settings: Any) -> None:
    """It never speaks to one: there is none here that it could."""
    settings.EMAIL_BACKEND = "tests.no_such.Backend"
    assert promote(alice, victor).status_code == 302
    assert [job.name for job in queued()] == ["role_changed"]


def test_it_is_tried_for_more_than_a_day() -> None:
    attempts = RETRIES.max_attempts or 0
    seconds = sum(RETRIES.wait + RETRIES.linear_wait * number for number in range(attempts))
    assert dt.timedelta(seconds=seconds) > dt.timedelta(days=1)


def test_what_a_worker_died_over_is_taken_up_again(alice: User, victor: User) -> None:
    promote(alice, victor)
    change_job("status = 'doing'")
    with mail_server() as postbox:
        work()
        take_up_again.defer(timestamp=0)
        work()
    assert [message["To"] for message in postbox.received] == ["victor@example.com"]
    assert not queued()
