"""The mail of an invitation: what it says, when it goes, and what if it cannot."""

import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import mail
from django.db import transaction
from django.test import Client

from accounts.models import Invitation, Role, Tenant, User
from accounts.origin import COMMAND_LINE
from accounts.services.invitations import Sent, resend_invitation
from tests.conftest import make_user, signed_in
from tests.pages import text
from tests.test_invitations import GOOD, OLGA, path_of, send

SMTP = "django.core.mail.backends.smtp.EmailBackend"


@pytest.fixture
def mailed(acme: Tenant, alice: User, django_capture_on_commit_callbacks: Any) -> Any:
    """The one mail of Alice's invitation, and the link in it."""
    alice.name = "Alice Liddell"
    alice.save()
    with django_capture_on_commit_callbacks(execute=True):
        sent = send(acme, Role.OWNER, actor=alice, send_mail=True)
    (message,) = mail.outbox
    return message, sent


def html_of(message: Any) -> str:
    """The HTML beside the text."""
    ((content, kind),) = message.alternatives
    assert kind == "text/html"
    return str(content)


def test_it_goes_to_the_address_with_the_link_in_text_and_html(mailed: Any) -> None:
    message, sent = mailed
    assert message.to == ["Olga@example.com"]
    assert message.from_email == "Ticktock <b2b@ticktock.bet>"
    assert sent.link in message.body
    assert f'href="{sent.link}"' in html_of(message)


def test_it_says_to_what_and_until_when(mailed: Any) -> None:
    message, sent = mailed
    ends = f"{sent.invitation.expires_at:%Y-%m-%d %H:%M} UTC"
    for body in (message.body, html_of(message)):
        for words in ("Olga Ivanova", "Acme Sportsbook", "Owner", ends, "b2b@ticktock.bet"):
            assert words in body
    assert message.subject == "Your invitation to Acme Sportsbook"


def test_it_fetches_nothing(mailed: Any) -> None:
    """No remote images, no tracking."""
    message, sent = mailed
    html = html_of(message)
    assert not re.search(r"<(img|script|link|iframe|object|video|audio|form)\b", html)
    assert not re.search(r"(?i)url\(|@import|background=", html)
    links = set(re.findall(r"https?://[^\s\"'<>]+", html))
    assert links == {sent.link}


def test_the_link_in_it_works(mailed: Any) -> None:
    message, _ = mailed
    (link,) = re.findall(r"http://localhost:8000(/client/invite/\S+)", message.body)
    assert Client().post(link, GOOD).status_code == 302


def test_staff_are_invited_in_other_words(
    database: None, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        send(None, send_mail=True)
    (message,) = mail.outbox
    assert message.subject == "Your invitation to the staff of Ticktock"
    assert "staff panel" in message.body


@pytest.mark.parametrize(
    "name",
    [
        "Acme\r\nBcc: everybody@example.com",
        "Acme\nX-Spam: no\n\n<b>bold</b>",
        "Acme <script>alert(1)</script> & Sons",
        "Ставки «Акме» 🐢",
        "x" * 120,
    ],
)
def test_a_hostile_name_is_words_in_it_and_nothing_else(
    acme: Tenant, name: str, django_capture_on_commit_callbacks: Any
) -> None:
    """No line break in the subject, no markup in the HTML."""
    acme.name = name
    acme.save()
    with django_capture_on_commit_callbacks(execute=True):
        sent = send(acme, send_mail=True, name="<i>Olga</i>")
    (message,) = mail.outbox
    raw = message.message()
    assert raw["Bcc"] is None and raw["X-Spam"] is None
    assert set(raw.keys()) <= {
        "Content-Type",
        "MIME-Version",
        "Subject",
        "From",
        "To",
        "Date",
        "Message-ID",
    }
    assert "\n" not in message.subject and "\r" not in message.subject
    html = html_of(message)
    assert not re.search(r"<(script|b|i)>", html)
    assert sent.link in html and Invitation.objects.get().mail_error == ""


def test_nothing_goes_before_the_commit(acme: Tenant) -> None:
    send(acme, send_mail=True)
    assert mail.outbox == []


def test_an_invitation_that_is_rolled_back_sends_nothing(
    acme: Tenant, django_capture_on_commit_callbacks: Any
) -> None:
    with (
        django_capture_on_commit_callbacks(execute=True) as callbacks,
        pytest.raises(RuntimeError),
        transaction.atomic(),
    ):
        send(acme, send_mail=True)
        raise RuntimeError
    assert callbacks == [] and mail.outbox == []
    assert not Invitation.objects.exists()


def closed_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def refusing_server() -> Iterator[int]:
    """A mail server that will not have the recipient; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        server = threading.Thread(target=_refuse, args=[listener])
        server.start()
        yield listener.getsockname()[1]
    server.join()


def _refuse(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection, connection.makefile("rwb", buffering=0) as lines:
        lines.write(b"220 mail.example\r\n")
        while line := lines.readline():
            said = line[:4].upper()
            lines.write(
                b"550 no such mailbox here\r\n" if said == b"RCPT" else b"250 mail.example\r\n"
            )


def invite_in_panel(acme: Tenant, commits: Any) -> tuple[Client, Any]:
    """Sam invites Olga in the panel; the browser and the page that follows."""
    client = signed_in(make_user("Sam", is_staff=True), has_second_factor=True)
    form = {**OLGA, "tenant": acme.pk, "role": "owner"}
    with commits(execute=True):
        answer = client.post("/staff/accounts/invitation/add/", form)
    return client, client.get(answer.headers["Location"])


def test_a_mail_server_that_is_away_is_said_on_the_invitation_and_resend_heals_it(
    acme: Tenant, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    """Nothing is lost silently: the row is there, says why, and one click sends it again."""
    in_memory = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND = SMTP
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", closed_port()
    client, page = invite_in_panel(acme, django_capture_on_commit_callbacks)
    assert "Connection refused" in Invitation.objects.get().mail_error
    assert "not sent" in text(page) and "Connection refused" in text(page)
    assert "Resend" in text(page)
    assert "not sent" in text(client.get("/staff/accounts/invitation/"))
    settings.EMAIL_BACKEND = in_memory
    sent = Invitation.objects.get()
    with django_capture_on_commit_callbacks(execute=True):
        client.post(f"/staff/accounts/invitation/{sent.pk}/resend")
    assert Invitation.objects.get().mail_error == ""
    assert "not sent" not in text(client.get(f"/staff/accounts/invitation/{sent.pk}/change/"))
    (message,) = mail.outbox
    (link,) = re.findall(r"http://localhost:8000(/client/invite/\S+)", message.body)
    assert Client().get(link).status_code == 200


def test_a_mail_server_that_refuses_is_said_too(
    acme: Tenant, settings: Any, refusing_server: int, django_capture_on_commit_callbacks: Any
) -> None:
    settings.EMAIL_BACKEND = SMTP
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", refusing_server
    _, page = invite_in_panel(acme, django_capture_on_commit_callbacks)
    assert "no such mailbox here" in Invitation.objects.get().mail_error
    assert "no such mailbox here" in text(page)


def test_the_link_of_a_mail_that_did_not_go_works_all_the_same(
    acme: Tenant, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    """A command prints it; the mail is not what makes it valid."""
    settings.EMAIL_BACKEND = SMTP
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", closed_port()
    with django_capture_on_commit_callbacks(execute=True):
        sent = send(acme, send_mail=True)
    assert Client().post(path_of(sent), GOOD).status_code == 302


def test_resend_mails_the_new_link(acme: Tenant, django_capture_on_commit_callbacks: Any) -> None:
    sent = send(acme)
    with django_capture_on_commit_callbacks(execute=True):
        again: Sent = resend_invitation(
            invitation_id=sent.invitation.pk, actor=None, origin=COMMAND_LINE
        )
    assert again.link in mail.outbox[0].body and sent.link not in mail.outbox[0].body
