"""The queue of mails, its worker in this process, and a mail server to send them to."""

import asyncio
import email
import email.message
import email.policy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiosmtpd.controller import Controller
from django.conf import settings
from django.db import connections
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob

SMTP = "django.core.mail.backends.smtp.EmailBackend"


@dataclass(frozen=True)
class Job:
    """A mail that waits: which one, for whom, and what it is to say."""

    name: str
    user_id: str
    context: dict[str, Any]


def queued(*names: str) -> list[Job]:
    """The mails in the queue, oldest first: all, or those of these names."""
    jobs = ProcrastinateJob.objects.filter(task_name="accounts.tasks.send_notice").order_by("id")
    return [Job(**job.args) for job in jobs if not names or job.args["name"] in names]


def empty_queue() -> None:
    """As the owner, for tests that commit."""
    with connections["owner"].cursor() as cursor:
        cursor.execute("TRUNCATE procrastinate_jobs, procrastinate_workers CASCADE")


def work() -> None:
    """What a worker does until nothing is left that is due; as `procrastinate worker` does it."""

    async def run() -> None:
        async with app.open_async():
            await app.run_worker_async(
                wait=False, listen_notify=False, install_signal_handlers=False
            )

    with app.replace_connector(app.connector.get_worker_connector()):  # type: ignore[attr-defined]
        asyncio.run(run())


class Postbox:
    """A mail server on loopback, and what it was given."""

    def __init__(self) -> None:
        self.received: list[email.message.EmailMessage] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """aiosmtpd's name for a mail's arrival."""
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, email.message.EmailMessage)
        assert [message["To"]] == envelope.rcpt_tos
        self.received.append(message)
        return "250 OK"


class _AnyPort(Controller):
    """aiosmtpd's, on whatever port is free: it would greet port 0 itself otherwise."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mail_server() -> Iterator[Postbox]:
    """Runs one for a block, and has Django send to it."""
    postbox = Postbox()
    controller = _AnyPort(postbox, hostname="127.0.0.1", port=0)
    controller.start()
    backend, host, port = settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT
    try:
        settings.EMAIL_BACKEND, settings.EMAIL_HOST = SMTP, "127.0.0.1"
        settings.EMAIL_PORT = controller.port
        yield postbox
    finally:
        settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = backend, host, port
        controller.stop()


def text_of(message: email.message.EmailMessage) -> str:
    """The plain text."""
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def html_of(message: email.message.EmailMessage) -> str:
    """The HTML beside it."""
    part = message.get_body(("html",))
    assert part is not None
    return str(part.get_content())
