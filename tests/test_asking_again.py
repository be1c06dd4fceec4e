"""**Confirm it is you**: what is dangerous needs a proof of less than ten minutes ago.

Security promises 10 and 34. Nothing that was typed is lost, and nothing is done twice.
"""

import datetime as dt
import html
import re
import uuid
from typing import Any

import pytest
from django.test import Client

from accounts.models import (
    Action,
    AuditEvent,
    Authenticator,
    Invitation,
    Membership,
    Role,
    Session,
    Tenant,
    User,
)
from accounts.sessions import SessionStore
from apikeys.models import ApiKey
from portal.lib import clock
from tests.conftest import PASSWORD, MakeKey, make_authenticator, signed_in
from tests.pages import (
    Page,
    at,
    code_of,
    is_signed_in,
    mid_step,
    session_cookie,
    text,
    with_cookie,
    wrong_code,
)

QUESTION = "Confirm it is you"
NEW = "/client/api-access/new"
INVITE = "/client/team/invite"
MINUTE = dt.timedelta(minutes=1)
SECRET = re.compile(r"vbk_[0-9A-Za-z]{24}")


@pytest.fixture
def late(alice: User) -> Client:
    """Alice's browser, eleven minutes after she signed in."""
    mid_step()
    client = signed_in(alice)
    clock.move(11 * MINUTE)
    return client


def asks(answer: Any) -> bool:
    """Is it the question, and not the page or the act?"""
    if answer.status_code != 200 or answer.streaming:
        return False
    return f"<h1>{QUESTION}</h1>" in answer.content.decode()


def carried(answer: Any) -> dict[str, list[str]]:
    """The hidden fields of the page's own form."""
    main = answer.content.decode().partition("<main")[2]
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', main):
        found.setdefault(html.unescape(name), []).append(html.unescape(value))
    found.pop("csrfmiddlewaretoken", None)
    return found


def prove(
    client: Client, path: str, answer: Any, password: str = PASSWORD, code: str | None = None
) -> Any:
    """**Continue**, on the page that asked."""
    proof = {"confirm-password": password, "confirm_it_is_you": "1"}
    if code is not None:
        proof["confirm-code"] = code
    return client.post(path, carried(answer) | proof)


def new_key(acme: Tenant, **changed: Any) -> dict[str, Any]:
    """What somebody typed into the form of a new key."""
    scopes = acme.contract.scopes[:2]  # type: ignore[attr-defined]
    form = {"label": 'Pricing & "odds"', "allowlist": "192.0.2.1\n192.0.2.2", "scopes": scopes}
    return {**form, "nonce": str(uuid.uuid4()), **changed}


@pytest.mark.parametrize(
    ("after", "asked"),
    [(10 * MINUTE - dt.timedelta(seconds=1), False), (10 * MINUTE, True)],
)
def test_a_proof_is_good_for_ten_minutes(alice: User, after: dt.timedelta, asked: bool) -> None:
    client = signed_in(alice)
    at(Session.objects.get().proved_at + after)
    assert asks(client.get(NEW)) is asked


def test_it_is_asked_when_a_form_is_opened(late: Client) -> None:
    answer = late.get(NEW)
    assert asks(answer) and not carried(answer)
    assert {"confirm-password"} == {name for name in Page(answer).fields if "confirm-" in name}
    assert prove(late, NEW, answer).headers["Location"] == NEW
    assert "Create key" in text(late.get(NEW))


def test_the_address_with_its_query_is_where_one_goes_on(late: Client) -> None:
    path = f"{INVITE}?from=overview"
    assert prove(late, path, late.get(path)).headers["Location"] == path


def test_a_form_sent_too_late_comes_back_as_it_was_filled(late: Client, acme: Tenant) -> None:
    form = new_key(acme)
    question = late.post(NEW, form)
    assert asks(question)
    assert "What you typed is kept" in text(question)
    page = Page(prove(late, NEW, question))
    assert "Create key" in page.text
    assert page.fields["label"] == form["label"]
    assert page.fields["allowlist"].split() == ["192.0.2.1", "192.0.2.2"]
    assert page.fields["nonce"] == form["nonce"]
    assert page.checked["scopes"] == form["scopes"]
    assert not ApiKey.objects.exists()


def test_then_one_press_finishes_it(late: Client, acme: Tenant) -> None:
    form = new_key(acme)
    page = Page(prove(late, NEW, late.post(NEW, form)))
    sent = {name: page.fields[name] for name in ("label", "allowlist", "nonce")}
    answer = late.post(NEW, sent | {"scopes": page.checked["scopes"]})
    assert SECRET.search(answer.content.decode())
    key = ApiKey.objects.get()
    assert (key.label, key.scopes) == (form["label"], form["scopes"])


def test_pressed_twice_it_makes_one_key(late: Client, acme: Tenant) -> None:
    """The question as well as the form: the page before it is a page that was left."""
    question = late.post(NEW, new_key(acme))
    form = carried(question)
    before = session_cookie(late)
    prove(late, NEW, question)
    assert not SECRET.search(prove(late, NEW, question).content.decode())
    slower = prove(with_cookie(before), NEW, question)
    assert slower.headers["Location"].startswith("/client/login")
    assert [late.post(NEW, form).status_code for _ in range(2)] == [200, 409]
    assert ApiKey.objects.count() == 1


def test_a_changed_key_comes_back_as_typed_and_keeps_its_version(
    late: Client, acme: Tenant, make_key: MakeKey
) -> None:
    """Whoever changed it meanwhile is not overruled."""
    key, _ = make_key(acme)
    path = f"/client/api-access/{key.pk}/edit"
    form = {"label": "Renamed", "allowlist": "192.0.2.9", "version": "1"}
    page = Page(prove(late, path, late.post(path, form)))
    assert {name: page.fields[name].strip() for name in form} == form
    ApiKey.objects.filter(pk=key.pk).update(label="Taken")
    assert late.post(path, form).status_code == 409


def test_an_invitation_comes_back_as_typed(late: Client) -> None:
    form = {"email": "o@example.com", "username": "Olga", "name": "O. <i>", "role": Role.TRADER}
    answer = prove(late, INVITE, late.post(INVITE, form))
    page = Page(answer)
    assert {name: page.fields[name] for name in ("email", "username", "name")} == {
        name: form[name] for name in ("email", "username", "name")
    }
    assert '<option value="trader" selected>' in answer.content.decode()
    assert late.post(INVITE, form).headers["Location"] == "/client/team"
    assert Invitation.objects.get().name == "O. <i>"


def test_a_role_comes_back_as_picked(late: Client, dave: User) -> None:
    path = f"/client/team/{Membership.objects.get(user=dave).pk}/role"
    page = Page(prove(late, path, late.post(path, {"role": Role.VIEWER})))
    assert page.checked["role"] == [Role.VIEWER]


def test_nothing_that_was_typed_lies_in_a_session(late: Client, acme: Tenant) -> None:
    question = late.post(NEW, new_key(acme))
    assert asks(question)
    prove(late, NEW, question)
    for row in Session.objects.all():
        data = SessionStore().decode(row.data)
        assert "Pricing" not in str(data) and "192.0.2" not in str(data)
        assert "Pricing" not in str(late.cookies)


def test_passwords_and_codes_are_not_carried(late: Client) -> None:
    typed = {
        "label": "L",
        "current_password": PASSWORD,
        "new_password": PASSWORD,
        "code": "123456",
        "confirm-password": "confirm it",
        "confirm-code": "654321",
        "csrfmiddlewaretoken": "x",
    }
    for answer in (late.post(NEW, typed), late.post(NEW, {**typed, "confirm_it_is_you": "1"})):
        assert asks(answer)
        assert carried(answer) == {"label": ["L"]}
        assert PASSWORD not in answer.content.decode() and "123456" not in text(answer)
        assert "654321" not in answer.content.decode()


@pytest.mark.parametrize("password", ["", "wrong", f"{PASSWORD} "])
def test_a_wrong_password_is_said_and_loses_nothing(
    late: Client, acme: Tenant, password: str
) -> None:
    before, form = session_cookie(late), new_key(acme)
    answer = prove(late, NEW, late.post(NEW, form), password)
    assert asks(answer)
    assert "This is not your password." in text(answer) or "required" in text(answer)
    assert carried(answer)["label"] == [form["label"]]
    assert carried(answer)["scopes"] == form["scopes"]
    assert session_cookie(late) == before
    assert asks(late.get(NEW))
    assert not ApiKey.objects.exists()
    assert "Create key" in text(prove(late, NEW, answer))


def test_a_proof_gives_a_new_session_id_and_is_recorded(late: Client, alice: User) -> None:
    """Promise 10: the old id opens nothing, and everything else is as it was."""
    before = session_cookie(late)
    began = Session.objects.get().signed_in_at
    prove(late, NEW, late.get(NEW))
    assert session_cookie(late) != before
    assert is_signed_in(late) and not is_signed_in(with_cookie(before))
    session = Session.objects.get()
    assert session.signed_in_at == began
    assert session.expires_at == began + dt.timedelta(hours=12)
    assert clock.now() - session.proved_at < MINUTE
    (event,) = AuditEvent.objects.filter(action=Action.REAUTHENTICATED)
    assert (event.actor_id, event.target_id) == (alice.pk, alice.pk)


def test_a_proof_is_that_browsers_alone(late: Client, alice: User) -> None:
    other = signed_in(alice)
    clock.move(11 * MINUTE)
    prove(late, NEW, late.get(NEW))
    assert asks(other.get(NEW))


@pytest.fixture
def device(late: Client, alice: User) -> Authenticator:
    """Alice has an authenticator as well."""
    return make_authenticator(alice)


def test_with_2fa_a_code_is_asked_as_well(late: Client, device: Authenticator) -> None:
    question = late.get(NEW)
    assert "confirm-code" in Page(question).fields
    for code in (None, "", wrong_code(device)):
        answer = prove(late, NEW, question, code=code)
        assert asks(answer)
    assert "This code is wrong or was used already." in text(answer)
    assert asks(prove(late, NEW, question, "wrong", code_of(device)))
    assert prove(late, NEW, question, code=code_of(device)).status_code == 302


def test_a_code_may_be_typed_as_the_app_prints_it(late: Client, device: Authenticator) -> None:
    code = code_of(device)
    spaced = f" {code[:3]} {code[3:]}"
    assert prove(late, NEW, late.get(NEW), code=spaced).status_code == 302


def test_a_code_proves_once(late: Client, alice: User, device: Authenticator) -> None:
    """Promise 13: not in this browser and in another."""
    other = signed_in(alice, has_second_factor=True)
    clock.move(11 * MINUTE)
    code = code_of(device)
    assert prove(late, NEW, late.get(NEW), code=code).status_code == 302
    assert asks(prove(other, NEW, other.get(NEW), code=code))
