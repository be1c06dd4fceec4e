"""What security mails say: in the reader's language and zone, no secret, fetching nothing."""

import datetime as dt
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core import mail

from accounts.models import User
from accounts.tasks import send_notice
from portal.lib import clock
from tests.mailbox import queued

TEMPLATES = Path(settings.BASE_DIR) / "templates" / "emails" / "notices"
AT = "2026-01-15T22:30:00+00:00"
ABOUT = {"at": AT, "address": "203.0.113.7", "browser": "Firefox · Linux"}
KEY = {"label": "Pricing", "tenant": "Acme", "by": "Dave"}
AMQP = {"username": "op-acme", "tenant": "Acme", "by": "Sam"}
LIMITS = {
    "tenant": "Acme",
    "percent": 80,
    "keys": [{"label": "Pricing", "peak": 481, "limit": 600, "refused": 0}],
}
NOBODYS = {"key_limit", "key_unused"}  # acts
NEW_TYPES = {
    "who": "Ticktock",
    "tenant": "Acme",
    "types": [{"code": "ace", "name_en": "Ace in round", "name_ru": "Эйс в раунде"}],
}
# What each act hands over: see the calls of `notify`.
MAILS: list[tuple[str, dict[str, Any], str, str]] = [
    ("new_place", {}, "Signed in from a new place", "had not done so before"),
    ("password_changed", {}, "Your password was changed", "password of your account was changed"),
    ("two_factor_on", {}, "2FA is on", "was turned on"),
    ("two_factor_off", {}, "2FA is off", "was turned off"),
    (
        "two_factor_reset",
        {"who": "Dave", "reason": "Lost it"},
        "2FA of Dave was reset",
        "The reason given: Lost it",
    ),
    ("recovery_code_used", {"left": 1}, "A recovery code was used", "1 is left"),
    ("recovery_code_used", {"left": 9}, "A recovery code was used", "9 are left"),
    ("recovery_codes_new", {}, "New recovery codes", "the old ones no longer work"),
    (
        "api_key",
        {**KEY, "action": "api_key.created"},
        "API key “Pricing” created",
        "Dave created the API key “Pricing” of Acme",
    ),
    (
        "api_key",
        {**KEY, "action": "api_key.created", "is_open_to_all": True},
        "API key “Pricing” created",
        "It has no IP allowlist",
    ),
    (
        "api_key",
        {**KEY, "action": "api_key.rotated"},
        "API key “Pricing” rotated",
        "the old secret no longer works",
    ),
    (
        "api_key",
        {**KEY, "action": "api_key.revoked"},
        "API key “Pricing” revoked",
        "no call gets in with it any more",
    ),
    (
        "api_key",
        {**KEY, "action": "api_key.changed"},
        "Allowlist of API key “Pricing” changed",
        "changed the IP allowlist",
    ),
    (
        "role_changed",
        {"tenant": "Acme", "role": "trader", "by": "Alice"},
        "Your role in Acme",
        "Alice gave you the role",
    ),
    (
        "invitation_accepted",
        {"who": "Olga", "email": "olga@example.com", "tenant": "Acme", "role": "viewer"},
        "Olga accepted the invitation",
        "is now a member of Acme",
    ),
    (
        "invitation_accepted",
        {"who": "Olga", "email": "olga@example.com", "tenant": "", "role": "staff"},
        "Olga accepted the invitation",
        "is now a member of the staff",
    ),
    (
        "key_limit",
        {**LIMITS, "is_at": False},
        "API keys of Acme are above 80 % of their limit",
        "“Pricing”: 481 of 600 calls in its busiest minute",
    ),
    (
        "key_limit",
        {**LIMITS, "is_at": True},
        "API keys of Acme have met their limit",
        "refused with the code rate_limited",
    ),
    (
        "key_unused",
        {"tenant": "Acme", "keys": ["Pricing"], "days": 90},
        "An API key of Acme was not used for 90 days",
        "“Pricing”",
    ),
    (
        "amqp",
        {**AMQP, "action": "amqp.provisioned"},
        "AMQP access of Acme is ready",
        "You get the password from us apart from this mail.",
    ),
    (
        "amqp",
        {**AMQP, "action": "amqp.password_set"},
        "New AMQP password for Acme",
        "op-acme of Acme: the old one no longer works",
    ),
    (
        "market_default",
        {"tenant": "Acme", "by": "Tina", "default_on": False, "on": 3, "total": 58},
        "Markets of Acme are off by default",
        "Tina set the market default of Acme to off",
    ),
    (
        "market_default",
        {"tenant": "Acme", "by": "Tina", "default_on": True, "on": 57, "total": 58},
        "Markets of Acme are on by default",
        "57 of 58 market types are on.",
    ),
    (
        "new_market_types",
        {**NEW_TYPES, "count": 1, "more": 0, "are_on": True},
        "1 new market type for Acme",
        "It follows the default of Acme: it is on.",
    ),
    (
        "new_market_types",
        {**NEW_TYPES, "count": 8, "more": 7, "are_on": False},
        "8 new market types for Acme",
        "and 7 more, on the page Markets.",
    ),
    ("suspended", {}, "You cannot sign in at the moment", "b2b@ticktock.bet"),
]


def send(user: User, name: str, **context: Any) -> Any:
    """What the worker does with such a job."""
    send_notice(name=name, user_id=str(user.pk), context={**ABOUT, **context})
    return mail.outbox.pop()


def html_of(message: Any) -> str:
    """The HTML beside the text."""
    ((content, kind),) = message.alternatives
    assert kind == "text/html"
    return str(content)


def test_the_table_has_every_mail_there_is() -> None:
    assert {name for name, *_ in MAILS} == {
        path.name for path in TEMPLATES.iterdir() if path.is_dir()
    }


@pytest.mark.parametrize(("name", "context", "subject", "words"), MAILS)
def test_it_says_what_happened_when_and_from_where(
    alice: User, name: str, context: dict[str, Any], subject: str, words: str
) -> None:
    message = send(alice, name, **context)
    assert message.to == ["alice@example.com"]
    assert message.from_email == "Ticktock <b2b@ticktock.bet>"
    assert message.subject == subject
    html = html_of(message)
    for said in ("Hello Alice,", words, "2026-01-15 22:30 UTC", "203.0.113.7, Firefox · Linux"):
        assert said in message.body
        assert said in html
    assert "{" not in message.body and "None" not in message.body


@pytest.mark.parametrize(("name", "context", "subject", "words"), MAILS)
def test_its_one_link_is_the_portals_own(
    alice: User, sam: User, name: str, context: dict[str, Any], subject: str, words: str
) -> None:
    """Staff are led to their own profile: the members' is not for them."""
    for user, profile in ((alice, "/client/profile"), (sam, "/staff/profile")):
        message = send(user, name, **context)
        html = html_of(message)
        links = set(re.findall(r"https?://[^\s\"'<>]+", message.body + html))
        assert links <= {f"{settings.PORTAL_BASE_URL}{profile}"}
        assert re.findall(r'href="([^"]*)"', html) == sorted(links)
        assert not re.search(r"<(img|script|link|iframe|style)\b|url\(|src=", html)


@pytest.mark.parametrize(("name", "context", "subject", "words"), MAILS)
def test_whose_act_it_was_decides_what_one_is_told_to_do(
    alice: User, name: str, context: dict[str, Any], subject: str, words: str
) -> None:
    """A password is changed where it may be somebody else who used it; not for another's act."""
    is_others = "by" in context or "who" in context or name in NOBODYS
    others = send(alice, name, **context | ({"by": "Bob"} if "by" in context else {}))
    assert ("Was it not you?" in others.body) is not is_others
    assert "b2b@ticktock.bet" in others.body
    if "by" in context and name != "amqp":  # which only staff can do
        assert "Was it not you?" in send(alice, name, **context | {"by": "Alice"}).body


def test_it_is_in_the_readers_language_and_zone(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(language="ru", time_zone="Asia/Tokyo", name="Алиса")
    for name, context, *_ in MAILS:
        message = send(alice, name, **context)
        assert '<html lang="ru">' in html_of(message)
        assert "2026-01-16 07:30 JST" in message.body
        assert "Алиса" in message.body


def test_it_goes_to_whoever_the_user_is_by_then(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(email="new@example.com")
    assert send(alice, "new_place").to == ["new@example.com"]


def test_a_user_who_is_gone_is_told_nothing(database: None) -> None:
    send_notice(name="new_place", user_id=str(uuid.uuid4()), context=ABOUT)
    assert not mail.outbox


@pytest.mark.parametrize(
    "label",
    [
        "Pricing\r\nBcc: everybody@example.com",
        "<script>alert(1)</script> & <b>bold</b>",
        "https://evil.example/sign-in",
        "evil.example",
        "Ставки 🐢",
    ],
)
def test_a_hostile_name_is_words_and_nothing_else(alice: User, label: str) -> None:
    """No line break in the subject, no markup, and no link that somebody else has written."""
    about = {**KEY, "by": "Alice", "label": label, "action": "api_key.created"}
    message = send(alice, "api_key", **about)
    assert message.message()["Bcc"] is None
    assert "\n" not in message.subject and "\r" not in message.subject
    html = html_of(message)
    assert "<script>" not in html and "<b>" not in html
    assert re.findall(r'href="([^"]*)"', html) == [f"{settings.PORTAL_BASE_URL}/client/profile"]


def test_what_waits_in_the_queue_is_plain_and_no_secret(alice: User, make_key: Any) -> None:
    """It lies in the database: no key, nothing of its secret but the name people gave it."""
    key, secret = make_key(alice.memberships.get().tenant)
    (job,) = queued("api_key")
    assert secret not in str(job) and secret[4:] not in str(job)
    of_all = {"at", "address", "browser", "action", "tenant", "by"}
    assert set(job.context) == {*of_all, "label", "is_open_to_all"}
    assert job.context["is_open_to_all"] is (not key.allowlist)
    assert dt.datetime.fromisoformat(job.context["at"]) <= clock.now()
    assert job.context["label"] == key.label
