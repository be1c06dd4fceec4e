"""Many at once, on keys: one form, one key; one rotation, one secret; and it is shown.

Security promise 40.
"""

import re
import uuid
from typing import Any

import pytest

from accounts.models import Action, Role, Tenant
from apikeys.models import ApiKey, ApiKeySecret, Contract
from portal.lib.crypto import digest
from tests.at_once import at_once, events, posts, statuses
from tests.conftest import MakeKey, make_member, signed_in
from tests.pages import session_cookie

pytestmark = pytest.mark.usefixtures("committed_db")

MANY = 20


def secrets_in(answers: list[Any]) -> list[str]:
    """The secrets that pages showed, each once."""
    shown = [re.findall(r"vbk_[0-9A-Za-z]{24}", answer.content.decode()) for answer in answers]
    return [secret for page in shown for secret in dict.fromkeys(page)]


def live_secrets() -> list[bytes]:
    """The hashes of all live secrets."""
    return [bytes(secret.sha256) for secret in ApiKeySecret.objects.filter(retired_at=None)]


def test_twenty_rotations_from_one_page_leave_one_live_secret(
    acme: Tenant, make_key: MakeKey
) -> None:
    """It is shown once; the others are told that their page was out of date."""
    key, old = make_key(acme)
    cookie = session_cookie(signed_in(key.created_by))
    path = f"/client/api-access/{key.pk}/rotate"
    answers = at_once(posts(path, {"version": 1}, [cookie] * MANY))
    assert statuses(answers) == {200: 1, 409: MANY - 1}
    (secret,) = secrets_in(answers)
    assert live_secrets() == [digest(secret)] != [digest(old)]
    assert events(Action.API_KEY_ROTATED) == 1
    assert ApiKey.objects.get().version == 2


def test_twenty_clicks_on_create_key_make_one(acme: Tenant) -> None:
    """The others are told which key it made."""
    cookie = session_cookie(signed_in(make_member(acme, "Alice", Role.OWNER)))
    form = {"label": "Pricing", "nonce": uuid.uuid4(), "scopes": acme.contract.scopes}
    answers = at_once(posts("/client/api-access/new", form, [cookie] * MANY))
    assert statuses(answers) == {200: 1, 409: MANY - 1}
    (secret,) = secrets_in(answers)
    assert live_secrets() == [digest(secret)]
    assert ApiKey.objects.count() == events(Action.API_KEY_CREATED) == 1
    refused = [answer for answer in answers if answer.status_code == 409]
    assert all("Pricing" in answer.content.decode() for answer in refused)


def test_keys_made_at_once_do_not_outnumber_the_contract(acme: Tenant, make_key: MakeKey) -> None:
    """With room for one more, twenty forms make one more."""
    key, _ = make_key(acme)
    Contract.objects.filter(tenant=acme).update(max_keys=2)
    cookie = session_cookie(signed_in(key.created_by))
    scopes = acme.contract.scopes
    acts = [
        act
        for _ in range(MANY)
        for act in posts(
            "/client/api-access/new",
            {"label": "Pricing", "nonce": uuid.uuid4(), "scopes": scopes},
            [cookie],
        )
    ]
    answers = at_once(acts)
    assert statuses(answers) == {200: MANY}
    assert len(secrets_in(answers)) == 1
    assert ApiKey.objects.count() == len(live_secrets()) == 2


def test_a_key_revoked_and_rotated_at_once_is_one_or_the_other(
    acme: Tenant, make_key: MakeKey
) -> None:
    """A revoked key has no live secret, a rotated one has one."""
    key, _ = make_key(acme)
    cookie = session_cookie(signed_in(key.created_by))
    base = f"/client/api-access/{key.pk}"
    answers = at_once(
        [
            *posts(f"{base}/rotate", {"version": 1}, [cookie] * 10),
            *posts(f"{base}/revoke", {"version": 1}, [cookie] * 10),
        ]
    )
    key.refresh_from_db()
    assert statuses(answers)[409] == MANY - 1
    assert len(live_secrets()) == (0 if key.revoked_at else 1)
    assert len(secrets_in(answers)) == len(live_secrets())
    rotated, revoked = events(Action.API_KEY_ROTATED), events(Action.API_KEY_REVOKED)
    assert (rotated, revoked) == ((0, 1) if key.revoked_at else (1, 0))
