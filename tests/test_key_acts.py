"""**Edit**, **Rotate key**, **Revoke key**: what each page says first, does, and refuses."""

import re
import uuid
from typing import Any

import pytest

from accounts.models import AuditEvent, Membership, Role, Tenant, User
from accounts.origin import COMMAND_LINE
from apikeys.models import ApiKey, ApiKeySecret, KeyUse
from apikeys.services import edit_key, revoke_key, rotate_key
from portal.lib import clock
from portal.lib.crypto import digest
from tests.conftest import MakeKey, signed_in
from tests.pages import Page, everything_of, text, whole_dump

SECRET = re.compile(r"vbk_[0-9A-Za-z]{24}(?![0-9A-Za-z])")
ACTS = ["edit", "rotate", "revoke"]


def page_of(key: ApiKey, act: str = "") -> str:
    """The key's page, or that of an act on it."""
    return f"/client/api-access/{key.pk}" + (f"/{act}" if act else "")


def do(client: Any, key: ApiKey, act: str, **given: Any) -> Any:
    """Open the act's page and press its button."""
    return client.post(page_of(key, act), {**Page(client.get(page_of(key, act))).fields, **given})


def live_secrets(key: ApiKey) -> list[bytes]:
    """The hashes that open the door."""
    rows = ApiKeySecret.objects.filter(key=key, retired_at=None)
    return [bytes(row.sha256) for row in rows]


def test_rotating_shows_a_new_secret_and_kills_the_old_one(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    key, old = make_key(acme, allowlist=["203.0.113.0/24"])
    answer = do(signed_in(dave), key, "rotate")
    (new,) = set(SECRET.findall(answer.content.decode()))
    assert answer.status_code == 200 and new != old
    assert "The old secret no longer works." in text(answer)
    assert live_secrets(key) == [digest(new)]
    retired = ApiKeySecret.objects.exclude(retired_at=None).get()
    assert bytes(retired.sha256) == digest(old)
    after = ApiKey.objects.get()
    assert (after.label, after.scopes, after.allowlist) == (key.label, key.scopes, key.allowlist)
    assert new not in whole_dump()


def test_rotating_is_confirmed_on_a_page_that_names_the_key_and_its_last_use(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    key, secret = make_key(acme, label="Pricing, production")
    KeyUse.objects.create(key=key, last_used_at=clock.now(), last_address="203.0.113.7")
    for act in ("rotate", "revoke"):
        page = text(signed_in(dave).get(page_of(key, act)))
        for words in (
            "Pricing, production",
            f"vbk_{secret[4:8]}…{secret[-4:]}",
            "What will happen",
            f"{clock.now():%Y-%m-%d}",
            "from 203.0.113.7",
            f"{act.capitalize()} key",
        ):
            assert words in page


def test_a_page_that_was_used_is_out_of_date(
    acme: Tenant, dave: User, alice: User, make_key: MakeKey
) -> None:
    """The second press is a 409 that says who rotated, and when."""
    key, _ = make_key(acme)
    client = signed_in(dave)
    form = Page(client.get(page_of(key, "rotate"))).fields
    do(signed_in(alice), key, "rotate")
    live = live_secrets(key)
    answer = client.post(page_of(key, "rotate"), form)
    page = text(answer)
    assert answer.status_code == 409
    assert "has changed since you opened the page. Nothing was done now." in page
    assert "What API key rotated Who Alice When" in page and f"{clock.now():%Y-%m-%d}" in page
    assert live_secrets(key) == live
    assert not SECRET.search(answer.content.decode())


@pytest.mark.parametrize("first", ["edit", "rotate"])
@pytest.mark.parametrize("second", ACTS)
def test_each_act_makes_the_pages_of_the_others_stale(
    acme: Tenant, dave: User, make_key: MakeKey, first: str, second: str
) -> None:
    key, _ = make_key(acme)
    client = signed_in(dave)
    form = Page(client.get(page_of(key, second))).fields
    do(client, key, first, label="Renamed")
    before = ApiKey.objects.values().get(), live_secrets(key)
    assert client.post(page_of(key, second), {**form, "label": "Again"}).status_code == 409
    assert (ApiKey.objects.values().get(), live_secrets(key)) == before


@pytest.mark.parametrize("version", ["", "x", "0", "-1", "99", "1.5", "9" * 40, "1 OR 1=1"])
@pytest.mark.parametrize("act", ACTS)
def test_a_made_up_version_does_nothing(
    acme: Tenant, dave: User, make_key: MakeKey, act: str, version: str
) -> None:
    key, secret = make_key(acme)
    client = signed_in(dave)
    answer = client.post(page_of(key, act), {"label": "Renamed", "version": version})
    assert answer.status_code in {200, 409}
    assert ApiKey.objects.get().label == "Pricing" and ApiKey.objects.get().is_live
    assert live_secrets(key) == [digest(secret)]


def test_revoking_is_for_good(acme: Tenant, dave: User, make_key: MakeKey) -> None:
    key, _ = make_key(acme)
    client = signed_in(dave)
    answer = do(client, key, "revoke")
    assert answer.headers["Location"] == "/client/api-access"
    assert "“Pricing” is revoked. No call gets in with it." in text(
        client.get("/client/api-access")
    )
    after = ApiKey.objects.get()
    assert not after.is_live and after.revoked_by == dave
    assert live_secrets(key) == []


@pytest.mark.parametrize("act", ACTS)
def test_a_revoked_key_is_neither_edited_nor_rotated_nor_revoked_again(
    acme: Tenant, dave: User, make_key: MakeKey, act: str
) -> None:
    """409, opened or sent, with who revoked it."""
    key, _ = make_key(acme)
    client = signed_in(dave)
    do(client, key, "revoke")
    version = ApiKey.objects.get().version
    for answer in (
        client.get(page_of(key, act)),
        client.post(page_of(key, act), {"label": "x", "version": version}),
    ):
        assert answer.status_code == 409
        page = text(answer)
        assert "“Pricing” was revoked, for good. Make a new key in its place." in page
        assert "API key revoked Who Dave" in page
    assert "Edit" not in text(client.get(page_of(key)))
    assert live_secrets(key) == []


def test_editing_changes_label_and_allowlist_and_nothing_else(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    key, secret = make_key(acme, allowlist=["203.0.113.7/32", "10.0.0.0/8"])
    client = signed_in(dave)
    form = Page(client.get(page_of(key, "edit"))).fields
    assert form["allowlist"].split() == ["203.0.113.7", "10.0.0.0/8"]
    answer = do(
        client,
        key,
        "edit",
        label="Pricing, staging",
        allowlist="2001:db8::/32",
        scopes=["cs2:matches:list"],
        sports=["dota2"],
        tenant=str(uuid.uuid4()),
        revoked_at="2020-01-01",
    )
    assert answer.headers["Location"] == page_of(key)
    assert "Saved." in text(client.get(page_of(key)))
    after = ApiKey.objects.get()
    assert (after.label, after.allowlist) == ("Pricing, staging", ["2001:db8::/32"])
    assert (after.scopes, after.sports, after.tenant) == (key.scopes, key.sports, acme)
    assert after.is_live and live_secrets(key) == [digest(secret)]


def test_saving_what_is_there_changes_and_records_nothing(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    key, _ = make_key(acme, allowlist=["203.0.113.0/24"])
    version = ApiKey.objects.get().version
    do(signed_in(dave), key, "edit")
    assert ApiKey.objects.get().version == version
    assert not AuditEvent.objects.filter(action="api_key.changed").exists()


def test_an_edit_that_cannot_be_keeps_what_was_typed(
    acme: Tenant, dave: User, make_key: MakeKey
) -> None:
    key, _ = make_key(acme)
    answer = do(signed_in(dave), key, "edit", label="Renamed", allowlist="10.0.0.1/8")
    page = Page(answer)
    assert answer.status_code == 200 and "Did you mean the range “10.0.0.0/8”" in page.text
    assert (page.fields["label"], page.fields["allowlist"].strip()) == ("Renamed", "10.0.0.1/8")
    assert ApiKey.objects.get().label == "Pricing"


@pytest.mark.parametrize("act", ["", *ACTS])
def test_the_key_of_another_tenant_is_as_unknown_as_one_that_never_was(
    acme: Tenant, mallory: User, make_key: MakeKey, act: str
) -> None:
    """Promise 35: byte for byte, whatever is sent."""
    key, secret = make_key(acme)
    client, nowhere = signed_in(mallory), ApiKey(pk=uuid.uuid4())
    form = {"version": ApiKey.objects.get().version, "label": "Mine"}
    for method in (client.get, client.post) if act else (client.get,):
        theirs, nobodys = method(page_of(key, act), form), method(page_of(nowhere, act), form)
        assert theirs.status_code == nobodys.status_code == 404
        assert everything_of(theirs) == everything_of(nobodys)
    assert ApiKey.objects.get().label == "Pricing"
    assert live_secrets(key) == [digest(secret)]


def test_nor_does_a_service_reach_over_the_wall(
    acme: Tenant, mallory: User, make_key: MakeKey
) -> None:
    """Promise 35: her own tenant, her own role, Acme's key."""
    key, secret = make_key(acme)
    globex = mallory.memberships.get().tenant
    given = {"tenant": globex, "key_id": key.pk, "version": key.version}
    given |= {"actor": mallory, "origin": COMMAND_LINE}
    for act, more in (
        (rotate_key, {}),
        (revoke_key, {}),
        (edit_key, {"label": "Mine", "allowlist": []}),
    ):
        with pytest.raises(ApiKey.DoesNotExist):
            act(**given, **more)
    assert live_secrets(key) == [digest(secret)]


@pytest.mark.parametrize("role", list(Role))
def test_owners_and_developers_act_on_keys_and_nobody_else(
    acme: Tenant, dave: User, alice: User, make_key: MakeKey, role: Role
) -> None:
    """Promise 41: 403 on the page and on its button, and neither link is there."""
    key, _ = make_key(acme)
    Membership.objects.filter(user=dave).update(role=role)
    may = role in {Role.OWNER, Role.DEVELOPER}
    client, version = signed_in(dave), ApiKey.objects.get().version
    for path in ("/client/api-access", page_of(key)):
        links = Page(client.get(path)).links
        assert [page_of(key, act) in links for act in ACTS] == [may] * 3
    for act in ACTS:
        assert client.get(page_of(key, act)).status_code == (200 if may else 403)
        if not may:
            form = {"version": version, "label": "Mine"}
            assert client.post(page_of(key, act), form).status_code == 403
    assert ApiKey.objects.get().version == version
