"""What pages say after a change: in how many processes it is in effect, and after how long."""

from uuid import uuid4

import pytest

from accounts.models import Tenant, User
from accounts.origin import COMMAND_LINE
from apikeys import propagation
from apikeys.models import DoorProcess
from markets.models import MarketType
from markets.services.choices import set_default
from tests.conftest import MakeKey, signed_in
from tests.effect import a_process, aside, nobody_can_ask, with_doors
from tests.pages import text


@pytest.fixture
def acme(committed_db: None, acme: Tenant) -> Tenant:
    """Acme, committed: doors have connections of their own."""
    return acme


def test_the_page_after_an_act_says_how_far_it_has_come(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    """After an edit, a rotation and a revocation."""
    key, _ = make_key(acme)

    def act() -> None:
        client = signed_in(dave)
        path = f"/client/api-access/{key.pk}"
        said = "In effect on every process after 0."
        for what, form in (
            ("edit", {"label": "Pricing", "allowlist": "203.0.113.7"}),
            ("rotate", {}),
            ("revoke", {}),
        ):
            key.refresh_from_db()
            answer = client.post(f"{path}/{what}", {**form, "version": key.version}, follow=True)
            assert answer.status_code == 200 and said in text(answer), what

    with_doors(1, lambda: aside(act))


def test_where_it_is_not_everywhere_within_a_second_the_page_says_so_and_can_be_asked_again(
    acme: Tenant, dave: User, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For an edit and a revocation on the key's page; with the secret the way there."""
    monkeypatch.setattr(propagation, "WAIT_SECONDS", 0.05)
    a_process()
    key, _ = make_key(acme)
    client = signed_in(dave)
    path = f"/client/api-access/{key.pk}"
    for what, form in (
        ("edit", {"label": "Pricing", "allowlist": "203.0.113.7"}),
        ("rotate", {}),
        ("revoke", {}),
    ):
        key.refresh_from_db()
        answer = client.post(f"{path}/{what}", {**form, "version": key.version}, follow=True)
        page = text(answer)
        assert "Not yet everywhere: in effect in 0 of 1 processes." in page, what
        assert "?effect=1" in answer.content.decode() and "Look again" in page
    DoorProcess.objects.all().delete()
    assert "Not yet everywhere" not in text(client.get(f"{path}?effect=1"))


def test_the_page_of_markets_says_it_too(acme: Tenant, tina: User) -> None:
    """After what was applied there: revisions are announced like everything else."""

    def act() -> None:
        by = {"actor": tina, "origin": COMMAND_LINE, "tenant": acme}
        set_default(revision=0, default_on=False, keep_overrides=True, **by)
        page = text(signed_in(tina).get("/client/markets?applied=1"))
        assert "In effect on every process after 0." in page

    with_doors(1, lambda: aside(act))


def test_a_page_comes_even_if_nobody_can_be_asked_and_promises_nothing(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    """A new secret is in force already: it must be shown. That the old one is dead is not said."""
    key, _ = make_key(acme)
    client = signed_in(dave)
    path = f"/client/api-access/{key.pk}"
    unknown = "It could not be asked in how many processes this is in effect."
    with nobody_can_ask():
        for what, said, never in (
            ("rotate", "The old secret is retired.", "The old secret no longer works."),
            ("revoke", "“Pricing” is revoked.", "No call gets in with it."),
        ):
            key.refresh_from_db()
            answer = client.post(f"{path}/{what}", {"version": key.version}, follow=True)
            page = text(answer)
            assert answer.status_code == 200 and f"{said} {unknown}" in page, what
            assert never not in page and "vbk_" in answer.content.decode()
            assert "?effect=1" in answer.content.decode() and "Look again" in page
    assert unknown not in text(client.get(f"{path}?effect=1"))


STAFF_ACTS = [
    ("suspend", "Suspended: its members cannot sign in, its keys are to be refused."),
    ("reactivate", "Active again."),
    ("change/", "was changed successfully."),
]


def staff_act(sam: User, tenant: Tenant, what: str) -> str:
    """What the panel says after the act, or after a change of the name."""
    client = signed_in(sam, has_second_factor=True)
    path = f"/staff/accounts/tenant/{tenant.pk}/{what}"
    return text(client.post(path, {"name": f"Acme, {uuid4()}"}, follow=True))


def test_staff_are_told_how_far_it_has_come_what_they_do_to_a_tenant(
    acme: Tenant, sam: User
) -> None:
    def act() -> None:
        for what, _ in STAFF_ACTS:
            page = staff_act(sam, acme, what)
            assert page.count("In effect on every process after 0.") == 1, what
            assert ("its keys open nothing" in page) is (what == "suspend")

    with_doors(1, lambda: aside(act))


def test_staff_are_promised_nothing_that_no_process_has_acknowledged(
    acme: Tenant, sam: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where one is silent, nor where nobody can be asked."""
    monkeypatch.setattr(propagation, "WAIT_SECONDS", 0.05)
    a_process()
    for what, said in STAFF_ACTS:
        page = staff_act(sam, acme, what)
        assert said in page and "its keys open nothing" not in page
        assert "Not yet everywhere: in effect in 0 of 1 processes." in page, what
    with nobody_can_ask():
        for what, said in STAFF_ACTS:
            page = staff_act(sam, acme, what)
            assert said in page and "its keys open nothing" not in page
            assert "It could not be asked in how many processes this is in effect." in page, what


def test_staff_are_told_how_far_a_contract_has_come(acme: Tenant, sam: User) -> None:
    form = {"scopes": acme.contract.scopes, "sports": ["cs2"], "limit_rpm": 7}  # type: ignore[attr-defined]
    form |= {"max_keys": 1, "max_streams": 1}

    def act() -> None:
        client = signed_in(sam, has_second_factor=True)
        answer = client.post(f"/staff/apikeys/contract/{acme.pk}/change/", form, follow=True)
        assert "In effect on every process after 0." in text(answer)

    with_doors(1, lambda: aside(act))


def taken_out(sam: User, code: str) -> str:
    """What the panel says after the act."""
    path = f"/staff/markets/markettype/{MarketType.objects.get(code=code).pk}/retire"
    client = signed_in(sam, has_second_factor=True)
    return text(client.post(path, {"confirmed": "1"}, follow=True))


@pytest.mark.usefixtures("catalogue")
def test_staff_are_told_how_far_it_has_come_that_a_type_is_taken_out(
    acme: Tenant, sam: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what nobody has acknowledged nothing is promised."""

    def act() -> None:
        page = taken_out(sam, "ace")
        assert "Taken out: its code is never used again. In effect on every process after" in page

    with_doors(1, lambda: aside(act))
    monkeypatch.setattr(propagation, "WAIT_SECONDS", 0.05)
    a_process()
    page = taken_out(sam, "awp_kill")
    assert "Not yet everywhere: in effect in 0 of 1 processes. Look again" in page
    assert "off for everybody" not in page
    with nobody_can_ask():
        page = taken_out(sam, "bomb_plant")
    assert "It could not be asked in how many processes this is in effect." in page
    assert "off for everybody" not in page
