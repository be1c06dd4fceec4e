"""**New API Key**: the form, the secret that is seen once, and the one key of one form."""

import logging
import re
import uuid
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client

from accounts.models import AuditEvent, FormNonce, Membership, Role, Tenant, User
from accounts.origin import COMMAND_LINE
from apikeys.models import ApiKey, ApiKeySecret, Contract
from apikeys.services import create_key, revoke_key, rotate_key
from portal.lib.crypto import digest
from tests.conftest import MakeKey, signed_in
from tests.pages import Page, text, whole_dump

NEW = "/client/api-access/new"
SECRET = re.compile(r"vbk_[0-9A-Za-z]{24}(?![0-9A-Za-z])")
PICKED = ["cs2:matches:list", "cs2:markets:read"]


def filled(client: Client, **given: Any) -> dict[str, Any]:
    """The form as it is opened, with a label and all scopes, or what is given."""
    page = Page(client.get(NEW))
    return {**page.fields, "label": "Pricing", "scopes": page.checked["scopes"], **given}


def create(client: Client, **given: Any) -> Any:
    """Open the form and send it."""
    return client.post(NEW, filled(client, **given))


def secret_in(answer: Any) -> str:
    """The secret on the page."""
    (found,) = set(SECRET.findall(answer.content.decode()))
    return str(found)


def test_the_form_offers_the_contracts_scopes_all_of_them_picked(dave: User, acme: Tenant) -> None:
    page = Page(signed_in(dave).get(NEW))
    assert page.checked["scopes"] == acme.contract.scopes
    assert "Active offers, odds, suspend status" in page.text
    assert "cs2:matches:scoreboard" not in page.html


def test_the_scopes_are_explained_in_the_readers_language(dave: User) -> None:
    dave.language = "ru"
    dave.save()
    assert "Активные рынки" in text(signed_in(dave).get(NEW))


def test_the_secret_is_shown_once_with_a_call_to_try_it(dave: User, acme: Tenant) -> None:
    client = signed_in(dave)
    answer = create(client, allowlist="203.0.113.0/24, 2001:db8::1")
    assert answer.status_code == 200
    secret = secret_in(answer)
    assert re.fullmatch(r"vbk_[0-9A-Za-z]{24}", secret)
    page = Page(answer)
    assert "Save this key now" in page.text and "I have saved it" in page.text
    assert secret in page.fields.values() or f'value="{secret}"' in page.html
    assert f'curl -H "X-API-Key: {secret}" http://localhost:8000/v1/whoami' in page.text
    assert answer.headers["Cache-Control"] == "no-store"
    key = ApiKey.objects.get()
    assert (key.tenant, key.label, key.created_by) == (acme, "Pricing", dave)
    assert key.allowlist == ["203.0.113.0/24", "2001:db8::1/128"]
    assert (key.scopes, key.sports) == (acme.contract.scopes, ["cs2"])


def test_secrets_differ_and_use_all_of_their_alphabet(acme: Tenant, make_key: MakeKey) -> None:
    Contract.objects.update(max_keys=20)
    secrets = [make_key(acme)[1] for _ in range(10)]
    assert len(set(secrets)) == 10
    assert len(set("".join(secret[4:] for secret in secrets))) > 50


def test_only_a_hash_and_eight_characters_are_kept(dave: User) -> None:
    """Promise 38."""
    secret = secret_in(create(signed_in(dave)))
    row = ApiKeySecret.objects.get()
    assert bytes(row.sha256) == digest(secret)
    assert (row.first_4, row.last_4) == (secret[4:8], secret[-4:])
    dump = whole_dump()
    assert secret not in dump and secret[4:] not in dump and secret[8:-4] not in dump


def test_the_secret_is_in_exactly_one_answer_and_nothing_that_is_kept(
    dave: User, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Promise 38: no log, session, cookie, audit row, address or later page."""
    caplog.set_level(logging.DEBUG)
    client = signed_in(dave)
    answer = create(client)
    secret = secret_in(answer)
    key = ApiKey.objects.get()
    paths = [
        "/client/api-access",
        f"/client/api-access/{key.pk}",
        f"/client/api-access/{key.pk}/edit",
        f"/client/api-access/{key.pk}/rotate",
        f"/client/api-access/{key.pk}/revoke",
        "/client/",
        NEW,
    ]
    later = "".join(client.get(path).content.decode() for path in paths)
    kept = [later, caplog.text, *capfd.readouterr(), whole_dump(), str(client.cookies)]
    kept += [str(answer.headers), str(AuditEvent.objects.values_list())]
    assert not any(secret in place or secret[8:-4] in place for place in kept)


def test_a_reload_of_the_secrets_page_makes_no_second_key(dave: User) -> None:
    """The second POST of one form: 409, and which key the first one made."""
    client = signed_in(dave)
    form = filled(client)
    first = client.post(NEW, form)
    again = client.post(NEW, {**form, "label": "Another"})
    assert again.status_code == 409
    assert "made the key “Pricing”. No second one was made." in text(again)
    assert "If you did not see its secret, rotate it." in text(again)
    key = ApiKey.objects.get()
    assert f"/client/api-access/{key.pk}/rotate" in Page(again).links
    assert secret_in(first) not in again.content.decode()


def test_a_form_spent_under_another_tenant_names_no_key_of_it(
    dave: User, acme: Tenant, globex: Tenant
) -> None:
    """Promise 35: the wall holds for what a form made, too."""
    globex.memberships.create(user=dave, role=Role.OWNER)
    client = signed_in(dave)
    form = filled(client)
    client.post(NEW, form)
    client.post("/client/switch-tenant", {"tenant": "globex"})
    answer = client.post(NEW, form)
    assert answer.status_code == 409
    assert "Pricing" not in answer.content.decode()


def test_the_form_of_one_is_not_spent_by_another(dave: User, alice: User) -> None:
    nonce = str(uuid.uuid4())
    for user in (dave, alice):
        assert create(signed_in(user), nonce=nonce).status_code == 200
    assert ApiKey.objects.count() == FormNonce.objects.count() == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"label": ""}, "Label: This field is required."),
        ({"label": "   "}, "Label: This field is required."),
        ({"label": "x" * 81}, "at most 80 characters"),
        ({"label": "a\x00b"}, "Null characters are not allowed."),
        ({"scopes": []}, "Pick at least one scope."),
        ({"scopes": ["cs2:matches:scoreboard"]}, "Select a valid choice."),
        ({"scopes": ["cs2:matches:internals"]}, "Select a valid choice."),
        ({"scopes": ["cs2:*:*"]}, "Select a valid choice."),
        ({"scopes": ["cs2:matches:list", "nonsense"]}, "Select a valid choice."),
        ({"allowlist": "1.2.3.4/0"}, "is every address there is"),
        ({"allowlist": "x" * 20_001}, "at most 20000 characters"),
        ({"nonce": ""}, "This field is required."),
        ({"nonce": "not a nonce"}, "Enter a valid UUID."),
    ],
)
def test_what_cannot_be_is_said_at_the_field_and_makes_nothing(
    dave: User, given: dict[str, Any], said: str
) -> None:
    answer = create(signed_in(dave), **given)
    assert answer.status_code == 200
    assert said in text(answer)
    assert not ApiKey.objects.exists() and not FormNonce.objects.exists()


def test_what_was_typed_is_kept_on_an_error(dave: User) -> None:
    """And the same form, put right, makes its key."""
    client = signed_in(dave)
    form = filled(client, label="", scopes=PICKED, allowlist="203.0.113.7")
    page = Page(client.post(NEW, form))
    assert page.fields["allowlist"].strip() == "203.0.113.7"
    assert page.checked["scopes"] == PICKED
    assert page.fields["nonce"] == form["nonce"]
    again = {**page.fields, "scopes": page.checked["scopes"], "label": "Settled"}
    assert SECRET.search(client.post(NEW, again).content.decode())


def test_fewer_scopes_may_be_picked(dave: User) -> None:
    """They are kept in the catalogue's order, each once."""
    create(signed_in(dave), scopes=[*reversed(PICKED), PICKED[0]])
    assert ApiKey.objects.get().scopes == PICKED


def test_two_keys_may_have_one_label(dave: User) -> None:
    """A label is for people."""
    client = signed_in(dave)
    assert [create(client).status_code for _ in range(2)] == [200, 200]


def test_the_contract_bounds_the_live_keys(dave: User, acme: Tenant) -> None:
    """Said at the form, which is not spent by it: after a revocation the same one works."""
    Contract.objects.update(max_keys=1)
    client = signed_in(dave)
    create(client)
    form = filled(client, label="Second")
    answer = client.post(NEW, form)
    assert "Your contract allows 1 live keys." in text(answer)
    key = ApiKey.objects.get()
    revoke_key(tenant=acme, key_id=key.pk, version=key.version, actor=dave, origin=COMMAND_LINE)
    assert SECRET.search(client.post(NEW, form).content.decode())


@pytest.mark.parametrize("role", list(Role))
def test_owners_and_developers_make_keys_and_nobody_else(dave: User, role: Role) -> None:
    """Promise 41, in the view."""
    Membership.objects.filter(user=dave).update(role=role)
    may = role in {Role.OWNER, Role.DEVELOPER}
    client = signed_in(dave)
    assert client.get(NEW).status_code == (200 if may else 403)
    form = {"label": "x", "nonce": str(uuid.uuid4()), "scopes": PICKED}
    assert client.post(NEW, form).status_code == (200 if may else 403)
    assert ApiKey.objects.exists() is may
    assert ("New API Key" in text(client.get("/client/api-access"))) is False or may


@pytest.mark.parametrize("who", ["tina", "victor", "mallory", "sam"])
def test_the_service_asks_for_the_role_again(
    request: pytest.FixtureRequest, acme: Tenant, make_key: MakeKey, who: str
) -> None:
    """Promise 41, in the service: whoever calls it."""
    key, _ = make_key(acme)
    actor = {"actor": request.getfixturevalue(who), "origin": COMMAND_LINE, "tenant": acme}
    one = {"key_id": key.pk, "version": key.version}
    with pytest.raises(PermissionDenied):
        create_key(nonce=uuid.uuid4(), label="x", allowlist=[], scopes=PICKED, **actor)
    for act in (rotate_key, revoke_key):
        with pytest.raises(PermissionDenied):
            act(**one, **actor)
    key.refresh_from_db()
    assert key.is_live and ApiKeySecret.objects.count() == 1
