"""/staff/: for staff with a verified second factor; what they do to tenants and people."""

import re
import uuid
from typing import Any

import pytest
from django.test import Client

from accounts.models import AuditEvent, Authenticator, Invitation, Role, Session, Tenant, User
from tests.conftest import PASSWORD, MakeKey, make_authenticator, signed_in
from tests.pages import Page, code_of, is_signed_in, sign_in, text

PAGES = [
    "/staff/",
    "/staff/accounts/tenant/",
    "/staff/accounts/tenant/add/",
    "/staff/accounts/user/",
    "/staff/accounts/invitation/",
    "/staff/accounts/invitation/add/",
    "/staff/accounts/auditevent/",
    "/staff/apikeys/contract/",
]


@pytest.fixture
def panel(sam: User) -> Client:
    """Sam's browser, in the panel."""
    return signed_in(sam, has_second_factor=True)


def change_page(thing: Tenant | User | Invitation) -> str:
    """The thing's page in the panel."""
    return f"/staff/accounts/{thing._meta.model_name}/{thing.pk}/change/"


def act(client: Client, thing: Tenant | User | Invitation, name: str, **given: Any) -> str:
    """Press one of the buttons on the thing's page; the words of the page after it."""
    path = f"/staff/accounts/{thing._meta.model_name}/{thing.pk}/{name}"
    answer = client.post(path, given)
    assert answer.headers["Location"] == change_page(thing)
    return text(client.get(answer.headers["Location"]))


@pytest.mark.parametrize("page", PAGES)
def test_staff_without_a_verified_second_factor_get_nothing(sam: User, page: str) -> None:
    """Promise 44: neither with none, nor with one that was not asked in this session."""
    for _ in range(2):
        answer = signed_in(sam).get(page)
        assert answer.headers["Location"] == "/staff/profile/2fa/enable"
        assert answer.content == b""
        if not Authenticator.objects.exists():
            make_authenticator(sam)


def test_staff_enrol_at_their_first_sign_in_and_are_asked_at_the_next(sam: User) -> None:
    """Promise 44, the whole way."""
    client = Client()
    sign_in(client, "Sam")
    page = client.get("/staff/", follow=True)
    assert "Enable 2FA" in text(page)
    client.post(page.request["PATH_INFO"], {"current_password": PASSWORD})
    device = Authenticator.objects.get()
    client.post("/staff/profile/2fa/confirm", {"code": code_of(device)})
    assert client.get("/staff/").status_code == 200
    again = Client()
    assert sign_in(again, "Sam").headers["Location"] == "/client/login/code"
    assert again.get("/staff/").headers["Location"].startswith("/client/login")


@pytest.mark.parametrize("page", PAGES)
def test_members_and_strangers_get_no_page_of_the_panel(alice: User, page: str) -> None:
    make_authenticator(alice)
    assert signed_in(alice, has_second_factor=True).get(page).status_code == 403
    answer = Client().get(page)
    assert answer.headers["Location"].startswith("/client/login")


@pytest.mark.parametrize("page", ["/client/", "/client/api-access", "/client/profile"])
def test_staff_have_no_page_of_a_tenants(panel: Client, acme: Tenant, page: str) -> None:
    assert panel.get(page).status_code == 403


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_for_staff(
    panel: Client, acme: Tenant, alice: User, make_key: MakeKey, page: str
) -> None:
    make_key(acme)
    assert panel.get(page).status_code == 200


SLUGS = {
    "acme": True,
    "a": True,
    "7": True,
    "acme-sports": True,
    "a-b-c-1-2-3": True,
    "a" * 40: True,
    "a" + "-b" * 39: True,  # forty letters and the hyphens between them
    "a" * 41: False,
    "a" + "-b" * 40: False,
    "Acme": False,
    "acme sports": False,
    "acme_sports": False,
    "-acme": False,
    "acme-": False,
    "acme--sports": False,
    "акме": False,
    "acmé": False,
    "acme\nsports": False,
    "acme/../x": False,
    "٣": False,
    "": False,
}


@pytest.mark.parametrize("slug", SLUGS)
def test_a_slug_is_letters_and_digits_with_single_hyphens_between(panel: Client, slug: str) -> None:
    answer = panel.post("/staff/accounts/tenant/add/", {"slug": slug, "name": "Somebody"})
    assert (answer.status_code == 302) is SLUGS[slug]
    assert list(Tenant.objects.values_list("slug", flat=True)) == ([slug] if SLUGS[slug] else [])


def test_a_tenant_is_made_with_its_contract_and_recorded(panel: Client) -> None:
    answer = panel.post("/staff/accounts/tenant/add/", {"slug": "acme", "name": "Acme"})
    tenant = Tenant.objects.get()
    assert answer.headers["Location"] == change_page(tenant)
    page = panel.get(change_page(tenant))
    assert "Acme is open." in text(page)
    assert f"/staff/apikeys/contract/{tenant.pk}/change/" in Page(page).links
    assert f"/staff/accounts/invitation/add/?tenant={tenant.pk}" in Page(page).links
    assert tenant.contract.limit_rpm == 600  # type: ignore[attr-defined]
    event = AuditEvent.objects.get(action="tenant.created")
    assert (event.actor_name, event.tenant_id) == ("Sam", tenant.pk)


def test_a_slug_that_is_taken_is_said(panel: Client, acme: Tenant) -> None:
    answer = panel.post("/staff/accounts/tenant/add/", {"slug": "acme", "name": "Another"})
    assert "Tenant with this Slug already exists." in text(answer)
    assert Tenant.objects.count() == 1


def test_a_tenant_is_renamed_and_its_slug_stays(panel: Client, acme: Tenant) -> None:
    form = {"name": "Acme International", "slug": "other", "suspended_at": "2020-01-01"}
    assert panel.post(change_page(acme), form).status_code == 302
    acme.refresh_from_db()
    assert (acme.name, acme.slug, acme.is_active) == ("Acme International", "acme", True)
    event = AuditEvent.objects.get(action="tenant.changed")
    assert event.detail == {"name": ["Acme Sportsbook", "Acme International"]}
    panel.post(change_page(acme), form)
    assert AuditEvent.objects.filter(action="tenant.changed").count() == 1


def test_suspending_shuts_everybody_out_and_reactivating_lets_them_in(
    panel: Client, acme: Tenant, alice: User
) -> None:
    client = signed_in(alice)
    assert "Suspended: its keys open nothing" in act(panel, acme, "suspend")
    assert not is_signed_in(client)
    assert "Username or password is wrong." in text(sign_in(Client(), "Alice"))
    page = panel.get(change_page(acme))
    assert "Reactivate" in text(page) and f"{acme.pk}/suspend" not in page.content.decode()
    assert "Active again." in act(panel, acme, "reactivate")
    assert sign_in(Client(), "Alice").status_code == 302
    actions = AuditEvent.objects.filter(target_id=acme.pk, action__startswith="tenant.")
    assert [event.action for event in actions.order_by("pk")] == [
        "tenant.created",
        "tenant.suspended",
        "tenant.reactivated",
    ]


def test_suspending_twice_records_it_once(panel: Client, acme: Tenant) -> None:
    act(panel, acme, "suspend")
    at = Tenant.objects.get().suspended_at
    act(panel, acme, "suspend")
    assert Tenant.objects.get().suspended_at == at
    assert AuditEvent.objects.filter(action="tenant.suspended").count() == 1


def test_a_user_is_disabled_and_enabled(panel: Client, alice: User) -> None:
    client = signed_in(alice)
    assert "Disabled; every session is over." in act(panel, alice, "disable")
    assert not Session.objects.filter(user=alice).exists() and not is_signed_in(client)
    assert "Username or password is wrong." in text(sign_in(Client(), "Alice"))
    assert "Enabled." in act(panel, alice, "enable")
    assert sign_in(Client(), "Alice").status_code == 302


def test_nobody_disables_themselves(panel: Client, sam: User) -> None:
    assert "You cannot do this to your own account." in act(panel, sam, "disable")
    assert is_signed_in(panel, "/staff/")
    sam.refresh_from_db()
    assert sam.is_active


def test_a_user_is_shown_with_tenants_and_roles_and_without_a_form(
    panel: Client, acme: Tenant, globex: Tenant, alice: User
) -> None:
    globex.memberships.create(user=alice, role=Role.VIEWER)
    page = panel.get(change_page(alice))
    assert "Acme Sportsbook (Owner), Globex (Viewer)" in text(page)
    assert not {"username", "email", "password", "is_staff"} & Page(page).fields.keys()
    forged = {"username": "eve", "email": "eve@example.com", "is_staff": "on", "password": "x"}
    assert panel.post(change_page(alice), forged).status_code == 403
    assert User.objects.get(pk=alice.pk).username == "Alice"


def test_no_password_key_or_secret_is_ever_shown(
    panel: Client, acme: Tenant, alice: User, make_key: MakeKey
) -> None:
    """Staff never see one, nor choose one: not even the hash."""
    _, secret = make_key(acme)
    device = make_authenticator(alice)
    hidden = [alice.password, alice.session_token, device.encrypted_secret, secret, secret[8:-4]]
    pages = [*PAGES, change_page(alice), change_page(acme)]
    pages += [f"/staff/apikeys/contract/{acme.pk}/change/"]
    for page in pages:
        body = panel.get(page).content.decode()
        assert not [text for text in hidden if text in body], page
        assert 'type="password"' not in body


@pytest.mark.parametrize(
    "path",
    [
        "password_change/",
        "auth/group/",
        "auth/user/",
        "accounts/session/",
        "accounts/authenticator/",
        "accounts/membership/",
        "apikeys/apikey/",
        "apikeys/apikeysecret/",
        "contenttypes/contenttype/",
    ],
)
def test_what_the_panel_does_not_offer_is_not_there(panel: Client, path: str) -> None:
    assert panel.get(f"/staff/{path}").status_code == 404


@pytest.mark.parametrize("kind", ["tenant", "user", "invitation", "auditevent"])
def test_nothing_can_be_deleted(panel: Client, acme: Tenant, alice: User, kind: str) -> None:
    """Neither on its page nor by a list's action."""
    things = {"tenant": acme.pk, "user": alice.pk, "auditevent": AuditEvent.objects.all()[0].pk}
    listed = f"/staff/accounts/{kind}/"
    path = f"{listed}{things.get(kind, uuid.uuid4())}/delete/"
    assert panel.get(path).status_code in {403, 404} or kind == "invitation"
    assert panel.post(path, {"post": "yes"}).status_code != 200
    chosen = {"action": "delete_selected", "_selected_action": str(things.get(kind)), "post": "yes"}
    panel.post(listed, chosen)
    assert "delete" not in text(panel.get(listed)).lower()
    assert Tenant.objects.count() == 1 and User.objects.count() == 2
    assert AuditEvent.objects.exists()


def test_the_audit_trail_is_read_filtered_and_searched(
    panel: Client, acme: Tenant, alice: User
) -> None:
    sign_in(Client(), "Alice", "not the password")
    sign_in(Client(REMOTE_ADDR="203.0.113.7"), "Alice")
    trail = "/staff/accounts/auditevent/"
    page = text(panel.get(trail))
    assert "Signed in" in page and "Sign-in refused" in page and "203.0.113.7" in page
    assert page.index("Signed in") < page.index("Tenant created")
    only = panel.get(trail, {"action": "login.refused"}).content.decode()
    assert "Sign-in refused" in only and 'class="field-action">Signed in' not in only
    assert "0 audit events" in text(panel.get(trail, {"q": "nobody"}))
    event = AuditEvent.objects.all()[0]
    assert panel.post(f"{trail}{event.pk}/change/", {"action": "x"}).status_code == 403


@pytest.mark.parametrize(
    "query", ["at__year=99999999999", "at__year=0", "at__month=99", "action=%00", "target_id=%00"]
)
def test_a_filter_that_no_column_can_be_asked_for_shows_everything(
    panel: Client, acme: Tenant, query: str
) -> None:
    """Promise 45."""
    answer = panel.get(f"/staff/accounts/auditevent/?{query}", follow=True)
    assert answer.status_code == 200
    answer = panel.get("/staff/accounts/auditevent/?action=tenant.created")
    assert "1 audit event" in text(answer)


@pytest.mark.parametrize(
    "query",
    [
        "user/?password__startswith=md5",
        "user/?session_token__gte=a",
        "user/?email__startswith=a",
        "user/?memberships__tenant__invitations__token_hash__gte=a",
        "invitation/?token_hash__gte=a",
        "invitation/?tenant__api_keys__secrets__sha256__gte=a",
        "auditevent/?detail__reason=Lost",
    ],
)
def test_nothing_is_asked_letter_by_letter(panel: Client, alice: User, query: str) -> None:
    """A list is filtered by what it offers: a password's hash would be found out by its prefix."""
    assert panel.get(f"/staff/accounts/{query}").status_code == 400
    listed = panel.get("/staff/accounts/user/?is_staff__exact=0&is_active__exact=1")
    assert listed.status_code == 200 and "Alice" in text(listed)


def test_a_things_history_is_its_part_of_the_audit_trail(panel: Client, acme: Tenant) -> None:
    act(panel, acme, "suspend")
    answer = panel.get(f"/staff/accounts/tenant/{acme.pk}/history/", follow=True)
    assert answer.request["QUERY_STRING"] == f"target_id={acme.pk}"
    assert "Tenant suspended" in text(answer) and "Tenant created" in text(answer)


@pytest.mark.parametrize("name", ["suspend", "reactivate"])
def test_an_act_on_what_is_not_there_leads_back(panel: Client, name: str) -> None:
    answer = panel.post(f"/staff/accounts/tenant/{uuid.uuid4()}/{name}")
    assert answer.status_code == 302


def test_the_panel_is_one_page_like_the_rest(panel: Client) -> None:
    """In the portal's looks, with the way out; without Django's own links."""
    page = panel.get("/staff/")
    assert "Sign out" in text(page) and "Sam" in text(page)
    assert "View site" not in text(page) and "Change password" not in text(page)
    assert re.search(r'href="[^"]*css/portal.css"', page.content.decode())
