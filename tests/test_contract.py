"""A contract's change: whose keys it takes along, whose not, and what may be written in it."""

from typing import Any

import pytest

from accounts.models import AuditEvent, Tenant, User
from accounts.origin import COMMAND_LINE
from apikeys.catalogue import bundles
from apikeys.models import ApiKey, Contract
from apikeys.services import change_contract, revoke_key
from tests.conftest import MakeKey, signed_in
from tests.pages import Page, text

BASIC = list(bundles()["cs2.odds.basic"].scopes)
STATS = set(bundles()["cs2.stats"].scopes)
ADDON = {"cs2:matches:scoreboard", "cs2:stream:scoreboard"}
TERMS = {"sports": ["cs2"], "limit_rpm": 600, "max_keys": 20, "max_streams": 50}


def page_of(tenant: Tenant) -> str:
    """The contract in the panel."""
    return f"/staff/apikeys/contract/{tenant.pk}/change/"


def save(sam: User, tenant: Tenant, **given: Any) -> Any:
    """Edit the contract in the panel."""
    form = {"scopes": [], "bundles": [], **TERMS, **given}
    return signed_in(sam, has_second_factor=True).post(page_of(tenant), form)


def change(tenant: Tenant, **terms: Any) -> None:
    """By the service."""
    change_contract(tenant=tenant, actor=None, origin=COMMAND_LINE, terms=terms)


def test_every_tenant_starts_with_the_basic_odds_bundle(acme: Tenant) -> None:
    contract = acme.contract
    assert sorted(contract.scopes) == sorted(BASIC)
    assert (contract.sports, contract.limit_rpm) == (["cs2"], 600)
    assert (contract.max_keys, contract.max_streams) == (20, 50)


def test_bundles_are_shorthands_and_the_flat_list_is_stored(sam: User, acme: Tenant) -> None:
    assert save(sam, acme, bundles=["cs2.stats"]).status_code == 302
    assert set(Contract.objects.get().scopes) == STATS


def test_a_bundle_brings_what_it_requires(sam: User, acme: Tenant) -> None:
    """The add-on is one to the basic odds."""
    save(sam, acme, bundles=["cs2.odds.scoreboard-addon"])
    assert set(Contract.objects.get().scopes) == set(BASIC) | ADDON


def test_scopes_are_kept_in_the_catalogues_order_each_once(sam: User, acme: Tenant) -> None:
    save(sam, acme, scopes=["cs2:teams:list", "cs2:matches:list"], bundles=["cs2.odds.basic"])
    scopes = Contract.objects.get().scopes
    assert scopes[0] == "cs2:matches:list" and len(scopes) == len(set(scopes)) == len(BASIC)


def test_the_form_shows_what_the_contract_holds(sam: User, acme: Tenant) -> None:
    page = Page(signed_in(sam, has_second_factor=True).get(page_of(acme)))
    assert sorted(page.checked["scopes"]) == sorted(BASIC)
    assert page.checked["sports"] == ["cs2"]
    assert "cs2.odds.basic" in page.text and "cs2.odds.scoreboard-addon" in page.text


@pytest.mark.parametrize(
    "given",
    [
        {"bundles": ["cs2.scoretock"]},
        {"bundles": ["cs2.operator"]},
        {"bundles": ["nonsense"]},
        {"scopes": ["cs2:matches:internals"]},
        {"scopes": ["cs2:*:*"]},
        {"scopes": ["cs2:matches:list"], "sports": ["dota2"]},
        {"scopes": ["cs2:matches:list"], "sports": []},
        {"scopes": [], "bundles": []},
        {"scopes": ["cs2:matches:list"], "limit_rpm": 0},
        {"scopes": ["cs2:matches:list"], "limit_rpm": -5},
        {"scopes": ["cs2:matches:list"], "limit_rpm": "many"},
        {"scopes": ["cs2:matches:list"], "limit_rpm": 10**12},
        {"scopes": ["cs2:matches:list"], "max_keys": -1},
        {"scopes": ["cs2:matches:list"], "max_streams": ""},
    ],
)
def test_what_cannot_be_issued_is_not_written(
    sam: User, acme: Tenant, given: dict[str, Any]
) -> None:
    """Internal scopes are not, nor is a bundle that nothing keeps to finished matches."""
    before = Contract.objects.values().get()
    answer = save(sam, acme, **given)
    assert answer.status_code == 200 and "error" in answer.content.decode().lower()
    assert Contract.objects.values().get() == before


def test_what_cannot_be_issued_is_not_offered(sam: User, acme: Tenant) -> None:
    page = signed_in(sam, has_second_factor=True).get(page_of(acme)).content.decode()
    for hidden in ("cs2.scoretock", "cs2.operator", "cs2:matches:internals", "cs2:*:*"):
        assert hidden not in page


def test_a_key_that_held_the_whole_contract_holds_the_whole_of_the_new_one(
    sam: User, acme: Tenant, alice: User, make_key: MakeKey
) -> None:
    key, _ = make_key(acme)
    save(sam, acme, bundles=["cs2.odds.basic", "cs2.odds.scoreboard-addon"])
    key.refresh_from_db()
    assert set(key.scopes) == set(BASIC) | ADDON
    save(sam, acme, bundles=["cs2.stats"])
    key.refresh_from_db()
    assert set(key.scopes) == STATS


def test_a_key_for_which_fewer_were_picked_is_left_as_it_is(
    sam: User, acme: Tenant, alice: User, make_key: MakeKey
) -> None:
    key, _ = make_key(acme, scopes=["cs2:markets:read", "cs2:matches:list"])
    picked = ApiKey.objects.get().scopes
    save(sam, acme, bundles=["cs2.odds.basic", "cs2.odds.scoreboard-addon"])
    key.refresh_from_db()
    assert key.scopes == picked


def test_a_narrowed_key_does_not_gain_by_a_contract_that_shrank_to_it_and_grew_again(
    acme: Tenant, alice: User, make_key: MakeKey
) -> None:
    """Fewer were picked; that the contract held no more for a while changes nothing of it."""
    key, _ = make_key(acme, scopes=["cs2:matches:list"])
    change(acme, scopes=["cs2:matches:list"])
    change(acme, scopes=BASIC)
    key.refresh_from_db()
    assert key.scopes == ["cs2:matches:list"]


def test_a_revoked_key_is_left_as_it_was(acme: Tenant, alice: User, make_key: MakeKey) -> None:
    """Its history stays true."""
    key, _ = make_key(acme)
    version = ApiKey.objects.get().version
    given = {"tenant": acme, "key_id": key.pk, "version": version, "actor": alice}
    revoke_key(origin=COMMAND_LINE, **given)
    change(acme, scopes=["cs2:matches:list"])
    assert sorted(ApiKey.objects.get().scopes) == sorted(BASIC)


def test_another_tenants_keys_are_left_alone(
    acme: Tenant, globex: Tenant, alice: User, mallory: User, make_key: MakeKey
) -> None:
    key, _ = make_key(globex)
    change(acme, scopes=["cs2:matches:list"])
    key.refresh_from_db()
    assert sorted(key.scopes) == sorted(BASIC)


def test_a_change_is_recorded_with_before_and_after(sam: User, acme: Tenant) -> None:
    save(sam, acme, bundles=["cs2.odds.basic"], limit_rpm=1200)
    event = AuditEvent.objects.get(action="contract.changed")
    assert (event.actor_name, event.tenant_id) == ("Sam", acme.pk)
    assert event.detail == {"limit_rpm": [600, 1200]}


def test_saving_the_same_terms_records_nothing_and_moves_no_version(
    sam: User, acme: Tenant
) -> None:
    version = Contract.objects.get().version
    assert save(sam, acme, bundles=["cs2.odds.basic"]).status_code == 302
    assert Contract.objects.get().version == version
    assert not AuditEvent.objects.filter(action="contract.changed").exists()


def test_new_scopes_are_offered_at_the_next_key(sam: User, acme: Tenant, dave: User) -> None:
    save(sam, acme, bundles=["cs2.stats"])
    page = Page(signed_in(dave).get("/client/api-access/new"))
    assert set(page.checked["scopes"]) == STATS
    assert "cs2:markets:read" not in text(signed_in(dave).get("/client/api-access/new"))
