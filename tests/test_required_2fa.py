"""2FA that is required: of staff always, of a tenant's members when an owner says so."""

from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from accounts.models import Action, AuditEvent, Authenticator, Role, Tenant, User
from accounts.origin import COMMAND_LINE
from accounts.services.invitations import invite
from accounts.services.team import set_require_2fa
from tests.conftest import PASSWORD, make_authenticator, make_member, signed_in
from tests.pages import code_of, is_signed_in, mid_step, sign_in, text
from tests.test_two_factor import CONFIRM, DISABLE, ENABLE, begin

TEAM = "/client/team"
REQUIRE = "/client/team/require-2fa"
PAGES = [
    "/client/",
    "/client/api-access",
    "/client/api-access/new",
    "/client/team",
    "/client/activity",
    "/client/activity.csv",
    "/client/profile",
    "/client/profile/password",
    "/client/profile/preferences",
    "/client/profile/2fa/recovery-codes",
]


@pytest.fixture(autouse=True)
def _mid_step() -> None:
    mid_step()


@pytest.fixture
def owner(alice: User) -> Client:
    """Alice's browser, her code proved."""
    make_authenticator(alice)
    return signed_in(alice, has_second_factor=True)


@pytest.fixture
def required(acme: Tenant, alice: User) -> Tenant:
    """Acme, where 2FA is required."""
    set_require_2fa(tenant=acme, is_required=True, actor=alice, origin=COMMAND_LINE)
    acme.refresh_from_db()
    return acme


def enrol(client: Client) -> Any:
    """Through the enrolment, as it asks; the answer with the recovery codes."""
    _, device = begin(client)
    return client.post(CONFIRM, {"code": code_of(device)})


def test_an_owner_requires_it_and_no_longer(owner: Client, acme: Tenant) -> None:
    assert "Up to each member" in text(owner.get(TEAM))
    page = text(owner.post(REQUIRE, {"required": "1"}, follow=True))
    assert "2FA is required: members without it are led to it." in page and "Required" in page
    owner.post(REQUIRE, {"required": "1"})
    page = text(owner.post(REQUIRE, {"required": "0"}, follow=True))
    assert "2FA is no longer required." in page and "Up to each member" in page
    events = AuditEvent.objects.filter(target_id=acme.pk, action__startswith="tenant.2fa")
    assert [event.action for event in events.order_by("pk")] == [
        Action.TWO_FACTOR_REQUIRED,
        Action.TWO_FACTOR_OPTIONAL,
    ]


def test_an_owner_without_it_cannot_require_it(alice: User, acme: Tenant) -> None:
    """They would shut themselves out first."""
    client = signed_in(alice)
    assert "Turn on your own 2FA first" in text(client.get(TEAM))
    answer = client.post(REQUIRE, {"required": "1"}, follow=True)
    assert "Turn on your own 2FA first." in text(answer)
    acme.refresh_from_db()
    assert not acme.require_2fa


@pytest.mark.parametrize("page", PAGES)
def test_a_member_without_it_is_led_to_it(dave: User, required: Tenant, page: str) -> None:
    client = signed_in(dave)
    assert client.get(page).headers["Location"] == ENABLE
    assert client.post(page, {"label": "L"}).headers["Location"] == ENABLE
    assert "Two-factor authentication is required for you." in text(client.get(ENABLE))


def test_from_the_next_request_on(owner: Client, dave: User) -> None:
    client = signed_in(dave)
    assert is_signed_in(client)
    owner.post(REQUIRE, {"required": "1"})
    assert client.get("/client/").headers["Location"] == ENABLE
    assert is_signed_in(owner)


def test_help_and_the_way_out_are_open(dave: User, required: Tenant) -> None:
    client = signed_in(dave)
    assert client.get("/client/help").status_code == 200
    assert client.post("/client/sign-out").headers["Location"] == "/client/login"
    assert not is_signed_in(client)


def test_through_the_enrolment_everything_opens(dave: User, required: Tenant) -> None:
    """No loop: its codes' page leads home."""
    client = signed_in(dave)
    codes = enrol(client)
    assert "I have saved them" in text(codes)
    for page in PAGES:
        assert client.get(page).status_code == 200


def test_signing_in_leads_there_at_once(dave: User, required: Tenant) -> None:
    client = Client()
    answer = client.post("/client/login", {"username": "Dave", "password": PASSWORD}, follow=True)
    assert answer.redirect_chain[-1][0] == ENABLE
    enrol(client)
    assert is_signed_in(client)


def test_who_has_it_notices_nothing(dave: User, required: Tenant) -> None:
    device = make_authenticator(dave)
    client = Client()
    sign_in(client, "Dave")
    answer = client.post("/client/login/code", {"code": code_of(device)}, follow=True)
    assert answer.redirect_chain[-1][0] == "/client/" and answer.status_code == 200


def test_an_invited_person_passes_through_it_and_lands(required: Tenant, alice: User) -> None:
    """Promise 21: the link gives no session that skips it."""
    sent = invite(
        actor=alice,
        origin=COMMAND_LINE,
        email="new@example.com",
        username="Newcomer",
        tenant=required,
        role=Role.VIEWER,
        send_mail=False,
    )
    path, client = sent.link.removeprefix(settings.PORTAL_BASE_URL), Client()
    form = {"new_password": PASSWORD, "confirm_password": PASSWORD}
    answer = client.post(path, form, follow=True)
    assert [target for target, _ in answer.redirect_chain] == ["/client/", ENABLE]
    assert answer.status_code == 200
    enrol(client)
    assert client.get("/client/").status_code == 200


def test_it_is_asked_where_it_is_required_and_not_elsewhere(
    dave: User, required: Tenant, globex: Tenant
) -> None:
    globex.memberships.create(user=dave, role=Role.VIEWER)
    client = signed_in(dave)
    assert client.get("/client/").headers["Location"] == ENABLE
    client.post("/client/switch-tenant", {"tenant": "globex"})
    assert "Globex" in text(client.get("/client/"))
    client.post("/client/switch-tenant", {"tenant": "acme"})
    assert client.get("/client/").headers["Location"] == ENABLE


def test_where_it_is_required_it_cannot_be_turned_off(owner: Client, required: Tenant) -> None:
    device = Authenticator.objects.get()
    assert "Disable 2FA" not in text(owner.get("/client/profile"))
    form = {"current_password": PASSWORD, "code": code_of(device)}
    answer = owner.post(DISABLE, form, follow=True)
    assert "2FA is required for you: it cannot be turned off." in text(answer)
    assert Authenticator.objects.filter(confirmed=True).exists()


def test_one_tenant_that_requires_it_is_enough(
    mallory: User, required: Tenant, globex: Tenant
) -> None:
    """Though another one is looked at just now."""
    required.memberships.create(user=mallory, role=Role.VIEWER)
    device = make_authenticator(mallory)
    client = signed_in(mallory, has_second_factor=True)
    client.post(DISABLE, {"current_password": PASSWORD, "code": code_of(device)})
    assert Authenticator.objects.filter(user=mallory, confirmed=True).exists()


def test_staff_cannot_turn_it_off(sam: User) -> None:
    device = make_authenticator(sam)
    client = signed_in(sam, has_second_factor=True)
    assert "Disable 2FA" not in text(client.get("/staff/profile"))
    form = {"current_password": PASSWORD, "code": code_of(device)}
    assert client.post("/staff/profile/2fa/disable", form).headers["Location"] == "/staff/profile"
    assert Authenticator.objects.filter(user=sam, confirmed=True).exists()


def test_staff_are_led_to_it_and_come_into_the_panel_with_it(sam: User) -> None:
    """Promise 44."""
    client = Client()
    answer = client.post("/client/login", {"username": "Sam", "password": PASSWORD}, follow=True)
    assert answer.redirect_chain[-1][0] == "/staff/profile/2fa/enable"
    _, device = begin(client, "/staff")
    client.post("/staff/profile/2fa/confirm", {"code": code_of(device)})
    assert client.get("/staff/").status_code == 200


def test_a_viewer_sees_that_it_is_required(required: Tenant) -> None:
    victor = make_member(required, "Victor", Role.VIEWER)
    make_authenticator(victor)
    html = signed_in(victor, has_second_factor=True).get(TEAM).content.decode()
    assert "Required" in html and "No longer require 2FA" not in html
