"""Passwords: what is refused and why, what a change needs and what it ends, how they are kept."""

from typing import Any

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher, get_hashers
from django.test import Client

from accounts.models import AuditEvent, Role, Tenant, User
from accounts.origin import COMMAND_LINE
from accounts.services.invitations import invite
from portal import settings as product
from tests.conftest import PASSWORD, make_authenticator, make_user, signed_in
from tests.pages import (
    COUNTING,
    code_of,
    hashes_during,
    holds,
    is_signed_in,
    session_cookie,
    sign_in,
    text,
    with_cookie,
)

CHANGE = "/client/profile/password"
NEW = "seven herons over the estuary"


def send(
    client: Client, current: str = PASSWORD, new: str = NEW, confirm: str | None = None
) -> Any:
    """Send the form of **Change Password**."""
    return client.post(
        CHANGE,
        {
            "current_password": current,
            "new_password": new,
            "confirm_password": new if confirm is None else confirm,
        },
    )


def invited(client: Client, password: str, **whom: Any) -> Any:
    """Send the form of an invitation's page; the password says what came of it."""
    sent = invite(actor=None, origin=COMMAND_LINE, send_mail=False, **whom)
    path = "/client" + sent.link.partition("/client")[2]
    return client.post(path, {"new_password": password, "confirm_password": password})


@pytest.mark.parametrize(
    "new",
    [
        "x7#kQ2!p",  # 8
        "brmpfzqu",  # no digit, no capital: no composition rules
        "99999274",
        "correct horse battery staple " * 2 + "again!",  # 64
        "kite-" * 25 + "end",  # 128
        "kite-" * 51 + "!",  # 256
        "пароль-из-слов",
        "日本語のパスワード",
        "🐢🦀🐙🦑🐠🐬🐳🦈",
        "e\u0301tude e\u0301crite",
        "  spaces at both ends  ",
        "tab\tand\nline",
        "'; DROP TABLE users; --",
        "<script>alert(1)</script>",
    ],
)
def test_any_characters_are_kept_as_they_were_typed(alice: User, new: str) -> None:
    """Promise 1: nothing is cut off, nothing is trimmed, and each signs in."""
    assert send(signed_in(alice), new=new).status_code == 302
    assert holds(alice, new)
    assert not holds(alice, new[:-1])
    if new != new.strip():
        assert not holds(alice, new.strip())
    assert sign_in(Client(), "Alice", new).status_code == 302


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        ("x7#kQ2!", "This password is too short. It must contain at least 8 characters."),
        ("🐢🦀🐙🦑🐠🐬🐳", "at least 8 characters"),
        ("k" * 257, "Ensure this value has at most 256 characters (it has 257)."),
        ("k" * 100_000, "at most 256 characters"),
        ("good until\x00 here", "Null characters are not allowed."),
        ("", "This field is required."),
        ("password1", "This password is too common."),
        ("iloveyou", "This password is too common."),
        ("PASSWORD1", "This password is too common."),
        (PASSWORD, "This is the password you have now."),
    ],
)
def test_a_password_is_refused_with_its_reason(alice: User, new: str, reason: str) -> None:
    """Promises 1 and 2."""
    answer = send(signed_in(alice), new=new)
    assert answer.status_code == 200
    assert reason in text(answer)
    assert holds(alice, PASSWORD)


@pytest.mark.parametrize("length", [257, 4096, 500_000])
def test_above_256_characters_nothing_is_hashed(acme: Tenant, settings: Any, length: int) -> None:
    """Promise 1: refused fast."""
    settings.PASSWORD_HASHERS = [COUNTING]
    whom = {"tenant": acme, "role": Role.OWNER, "email": "a@example.com", "username": "ann"}
    answers: list[Any] = []
    cost = hashes_during(lambda: answers.append(invited(Client(), "k" * length, **whom)))
    assert cost == 0
    assert f"at most 256 characters (it has {length})" in text(answers[0])


CONTEXT = {
    "brand": ["ticktock", "TickTock", "ticktockticktock", "Ticktock2024!", "t.i.c.k.t.o.c.k"],
    "odds": ["oddsodds", "ODDS-ODDS", "oddsoddsodds1", "odds1234"],
    "tenant": ["acmesportsbook", "Acme Sportsbook", "acmeacme", "Acme-acme-acme"],
    "username": ["annashaw", "Anna-Shaw-1", "annashawannashaw", "shawshaw", "anna1234"],
    "mailbox": ["tradingdesk", "trading.desk!", "tradingdesktradingdesk", "desk-desk"],
    "name": ["Wilhelmina", "wilhelminawilhelmina"],
}


@pytest.mark.parametrize(
    ("password", "source"), [(word, source) for source in CONTEXT for word in CONTEXT[source]]
)
def test_a_word_that_anybody_would_try_is_refused(acme: Tenant, password: str, source: str) -> None:
    """Promise 2: on the invitation's page, where most passwords are made."""
    answer = invited(
        Client(),
        password,
        tenant=acme,
        role=Role.OWNER,
        email="trading.desk@example.com",
        username="anna-shaw",
        name="Wilhelmina",
    )
    assert answer.status_code == 200
    assert "which anybody would try first" in text(answer)
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("username", "password"),
    [("20311231", "20311231"), ("20311231", "2031-1231/20311231"), ("al", "alalalal")],
)
def test_a_username_of_digits_or_two_letters_is_no_password_either(
    acme: Tenant, username: str, password: str
) -> None:
    whom = {"tenant": acme, "role": Role.OWNER, "email": "q@example.com", "username": username}
    assert "which anybody would try first" in text(invited(Client(), password, **whom))


@pytest.mark.parametrize(
    "password",
    [
        "the odds were never in my favour",
        "alice in wonderland",
        "acme anvils fall fast",
        "ticktock goes the mouse's clock",
        "oddsalice",
        "a1!b2?c3",
    ],
)
def test_a_longer_password_may_contain_such_a_word(alice: User, password: str) -> None:
    assert send(signed_in(alice), new=password).status_code == 302
    assert holds(alice, password)


def test_the_words_of_every_tenant_one_belongs_to_are_refused(alice: User, globex: Tenant) -> None:
    globex.memberships.create(user=alice, role=Role.VIEWER)
    for name in ("globexglobex", "AcmeSportsbook"):
        assert "which anybody would try first" in text(send(signed_in(alice), new=name))


def test_a_wrong_current_password_changes_nothing(alice: User) -> None:
    """Promise 3: the password, the sessions and the audit trail are as they were."""
    client, other = signed_in(alice), signed_in(alice)
    answer = send(client, current="not the password")
    assert "This is not your current password." in text(answer)
    assert NEW not in answer.content.decode()
    assert holds(alice, PASSWORD)
    assert is_signed_in(client) and is_signed_in(other)
    assert not AuditEvent.objects.filter(action="password.changed").exists()


def test_both_new_ones_must_be_the_same(alice: User) -> None:
    answer = send(signed_in(alice), confirm="something else altogether")
    assert "This is not the same as the new password." in text(answer)
    assert holds(alice, PASSWORD)


def test_a_change_ends_every_other_session_and_gives_this_one_a_new_id(alice: User) -> None:
    """Promise 5."""
    client, others = signed_in(alice), [signed_in(alice), signed_in(alice)]
    before = session_cookie(client)
    answer = send(client)
    assert "Your other sessions are over" in text(client.get(answer.headers["Location"]))
    assert session_cookie(client) != before
    assert is_signed_in(client)
    assert not any(is_signed_in(other) for other in [*others, with_cookie(before)])


def test_a_change_ends_a_session_whose_row_was_put_back(alice: User) -> None:
    """Promise 5: the rows go, and what a backup brings back is worth nothing."""
    other = signed_in(alice)
    row = alice.sessions.get()
    send(signed_in(alice))
    row.save(force_insert=True)
    assert not is_signed_in(other)


def test_a_change_keeps_the_second_factor_of_this_session(sam: User) -> None:
    """Promise 21: nor does it give one to a session that had none."""
    make_authenticator(sam)
    for proved, status in ((True, 200), (False, 302)):
        sam.set_password(PASSWORD)
        sam.save()
        client = signed_in(sam, has_second_factor=proved)
        form = {"current_password": PASSWORD, "new_password": NEW, "confirm_password": NEW}
        assert client.post("/staff/profile/password", form).status_code == 302
        assert client.get("/staff/").status_code == status


def test_after_a_change_the_second_factor_is_still_asked(alice: User) -> None:
    """Promise 21."""
    device = make_authenticator(alice)
    send(signed_in(alice, has_second_factor=True))
    client = Client()
    assert sign_in(client, "Alice", NEW).headers["Location"] == "/client/login/code"
    assert not is_signed_in(client)
    client.post("/client/login/code", {"code": code_of(device)})
    assert is_signed_in(client)


class FormerArgon2(Argon2PasswordHasher):
    """What the parameters may have been some years ago."""

    time_cost = 1
    memory_cost = 64
    parallelism = 1


def test_they_are_kept_as_argon2id_and_hashed_again_when_parameters_changed(
    acme: Tenant, settings: Any
) -> None:
    """Promise 4, with the hasher of production."""
    settings.PASSWORD_HASHERS = [f"{__name__}.{FormerArgon2.__name__}"]
    nora = make_user("Nora")
    acme.memberships.create(user=nora, role=Role.VIEWER)
    assert nora.password.startswith("argon2$argon2id$v=19$m=64,t=1,p=1$")
    settings.PASSWORD_HASHERS = product.PASSWORD_HASHERS
    assert [hasher.algorithm for hasher in get_hashers()] == ["argon2"]
    client = Client()
    assert sign_in(client, "Nora").status_code == 302
    assert is_signed_in(client)
    nora.refresh_from_db()
    assert nora.password.startswith("argon2$argon2id$v=19$m=102400,t=2,p=1$")
    assert holds(nora, PASSWORD)


def test_hashing_again_does_not_bring_back_a_password_that_was_changed_meanwhile(
    alice: User, settings: Any
) -> None:
    """Somebody signs in with the old one just then: neither of the two writes undoes the change."""
    cheap = f"{__name__}.{FormerArgon2.__name__}"
    settings.PASSWORD_HASHERS = [cheap, *settings.PASSWORD_HASHERS]
    slow = User.objects.get(pk=alice.pk)
    alice.set_password(NEW)
    alice.save(update_fields=["password"])
    assert slow.check_password(PASSWORD)
    assert holds(alice, NEW) and not holds(alice, PASSWORD)
