"""`GET /v1/whoami` and all that can come of it, through the machine door and its database."""

import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from accounts.models import Tenant
from accounts.origin import COMMAND_LINE
from apikeys import services
from apikeys.catalogue import in_order
from apikeys.edge.app import Door
from apikeys.edge.settings import EdgeSettings, edge_settings
from apikeys.models import ApiKey
from portal.lib import clock
from tests.conftest import MakeKey
from tests.door import Reply, ask, code, opened, run

pytestmark = pytest.mark.usefixtures("door_beside")

UNKNOWN = "vbk_" + "0" * 24


def ask_each(key: str, calls: list[dict[str, Any]]) -> list[Reply]:
    """Several calls with a key, one after the other."""

    async def work() -> list[Reply]:
        async with opened(Door()) as ask:
            return [await ask(key, **given) for given in calls]

    return run(work)


def behind(proxies: int) -> Door:
    """A door behind so many proxies."""
    return Door(EdgeSettings(edge_settings().database, trusted_proxies=proxies))


def test_a_live_key_learns_what_it_may_do(acme: Tenant, make_key: MakeKey) -> None:
    """Exactly the documented shape."""
    _, secret = make_key(acme)
    reply = ask(secret)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert json.loads(reply.body) == {
        "data": {
            "tenant_id": str(acme.pk),
            "name": "Acme Sportsbook",
            "scopes": acme.contract.scopes,
            "sport_allowlist": ["cs2"],
            "rate_limit_rpm": 600,
        }
    }


def test_it_is_the_same_in_xml(acme: Tenant, make_key: MakeKey) -> None:
    """Element for member, labelled as it was asked for."""
    _, secret = make_key(acme)
    reply = ask(secret, headers=[("accept", "text/xml")])
    assert reply.headers["content-type"] == "text/xml; charset=utf-8"
    root = ET.fromstring(reply.body)  # noqa: S314
    assert root.tag == "response"
    assert root.findtext("data/tenant_id") == str(acme.pk)
    assert [item.text for item in root.iterfind("data/scopes/item")] == acme.contract.scopes


def test_a_key_has_no_scope_or_sport_that_its_contract_lost(
    acme: Tenant, make_key: MakeKey
) -> None:
    """And what it has comes in the catalogue's order."""
    _, secret = make_key(acme)
    kept = sorted(acme.contract.scopes)[:2]
    acme.contract.scopes = list(reversed(kept))
    acme.contract.sports = ["dota2"]
    acme.contract.limit_rpm = 60
    acme.contract.save()
    data = json.loads(ask(secret).body)["data"]
    assert data["scopes"] == in_order(kept)
    assert data["sport_allowlist"] == []
    assert data["rate_limit_rpm"] == 60


def test_a_key_without_a_contract_may_do_nothing(acme: Tenant, make_key: MakeKey) -> None:
    """But it is known, and says so."""
    _, secret = make_key(acme)
    acme.contract.delete()
    data = json.loads(ask(secret).body)["data"]
    assert (data["scopes"], data["sport_allowlist"], data["rate_limit_rpm"]) == ([], [], 0)


def test_head_has_the_headers_and_no_body(acme: Tenant, make_key: MakeKey) -> None:
    """Refused or not."""
    _, secret = make_key(acme)
    whole = ask(secret)
    for reply in (ask(secret, method="HEAD"), ask(method="HEAD")):
        assert reply.body == b""
    assert ask(secret, method="HEAD").headers["content-length"] == str(len(whole.body))


def test_every_answer_has_an_id_of_ours_and_is_stored_by_nobody(
    acme: Tenant, make_key: MakeKey
) -> None:
    """A client's own id is not taken over; the body's id is the header's."""
    _, secret = make_key(acme)
    ids = set()
    for key, path in [(secret, "/v1/whoami"), (secret, "/v1/x"), (UNKNOWN, "/v1/whoami")]:
        reply = ask(key, path=path, headers=[("x-request-id", "mine")])
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["vary"] == "Accept"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["content-length"] == str(len(reply.body))
        assert re.fullmatch("[0-9a-f]{32}", reply.headers["x-request-id"])
        ids.add(reply.headers["x-request-id"])
        if reply.status != 200:
            assert json.loads(reply.body)["request_id"] == reply.headers["x-request-id"]
    assert len(ids) == 3


def test_an_error_has_the_documented_shape_in_json_and_in_xml() -> None:
    """`detail`, `code`, `request_id`."""
    assert list(json.loads(ask().body)) == ["detail", "code", "request_id"]
    reply = ask(headers=[("accept", "application/xml")])
    root = ET.fromstring(reply.body)  # noqa: S314
    assert reply.headers["content-type"] == "application/xml; charset=utf-8"
    assert [root.tag, *[child.tag for child in root]] == ["error", "detail", "code", "request_id"]


def test_a_call_without_a_key_is_told_how_to_send_one() -> None:
    """401 names the scheme."""
    reply = ask()
    assert code(reply) == (401, "key_missing")
    assert reply.headers["www-authenticate"] == "ApiKey"


def test_a_key_in_the_query_string_is_no_key(acme: Tenant, make_key: MakeKey) -> None:
    """It would end up in somebody's logs."""
    _, secret = make_key(acme)
    assert code(ask(query=f"api_key={secret}")) == (401, "key_missing")


def test_a_header_spelt_with_underscores_is_another_header(acme: Tenant, make_key: MakeKey) -> None:
    """Whatever else takes the two for one."""
    _, secret = make_key(acme)
    assert code(ask(headers=[("x_api_key", secret)])) == (401, "key_missing")
    assert ask(secret, headers=[("x_api_key", UNKNOWN)]).status == 200


def test_two_keys_are_ambiguous_even_if_they_are_equal(acme: Tenant, make_key: MakeKey) -> None:
    """Nobody can tell which one the next program on the way would take."""
    _, secret = make_key(acme)
    assert code(ask(secret, secret)) == (401, "key_ambiguous")


@pytest.mark.parametrize("key", [UNKNOWN, "rubbish", "vbk_" + "é" * 24])
def test_a_key_that_is_not_ours_is_invalid(key: str) -> None:
    """Whether it looks like one or not."""
    assert code(ask(key)) == (403, "key_invalid")


def test_blanks_around_a_key_are_not_part_of_it(acme: Tenant, make_key: MakeKey) -> None:
    """RFC 9110 §5.5."""
    _, secret = make_key(acme)
    assert ask(f" {secret}\t").status == 200


def test_a_rotated_key_is_dead_and_its_successor_lives(acme: Tenant, make_key: MakeKey) -> None:
    """From the next call on."""
    key, old = make_key(acme)
    issued = services.rotate_key(**act(acme, key))
    assert code(ask(old)) == (403, "key_revoked")
    assert ask(issued.secret).status == 200


def test_a_revoked_key_is_dead(acme: Tenant, make_key: MakeKey) -> None:
    """For good."""
    key, secret = make_key(acme)
    services.revoke_key(**act(acme, key))
    assert code(ask(secret)) == (403, "key_revoked")


def act(tenant: Tenant, key: ApiKey) -> dict[str, Any]:
    """What the services want to know: which key, as it is now, and who does it."""
    return {
        "tenant": tenant,
        "key_id": key.pk,
        "version": key.version,
        "actor": tenant.memberships.get().user,
        "origin": COMMAND_LINE,
    }


def test_a_suspended_tenants_keys_are_refused_until_it_is_back(
    acme: Tenant, make_key: MakeKey
) -> None:
    """All of them."""
    _, secret = make_key(acme)
    acme.suspended_at = clock.now()
    acme.save()
    assert code(ask(secret)) == (403, "tenant_suspended")
    acme.suspended_at = None
    acme.save()
    assert ask(secret).status == 200


def test_the_allowlist_decides_by_the_callers_address(acme: Tenant, make_key: MakeKey) -> None:
    """IPv4, IPv6, and the one written as the other; the detail names the address seen."""
    key, secret = make_key(acme)
    key.allowlist = ["203.0.113.0/24", "2001:db8::/32", "::ffff:198.51.100.0/120"]
    key.save()
    inside = ["203.0.113.7", "::ffff:203.0.113.7", "198.51.100.9", "2001:db8::1"]
    outside = ["192.0.2.1", "2001:db9::1", "rubbish", None]
    replies = ask_each(secret, [{"peer": peer} for peer in [*inside, *outside]])
    assert {reply.status for reply in replies[: len(inside)]} == {200}
    for peer, reply in zip(outside, replies[len(inside) :], strict=True):
        assert code(reply) == (403, "ip_not_allowed")
        seen = "could not be read" if peer in ("rubbish", None) else peer
        assert seen in json.loads(reply.body)["detail"]


def test_a_forged_forwarded_for_changes_nothing(acme: Tenant, make_key: MakeKey) -> None:
    """Without proxies it is ignored; with one, only what that one appended counts."""
    _, secret = make_key(acme, allowlist=["203.0.113.7/32"])
    forged = [("x-forwarded-for", "203.0.113.7")]
    assert code(ask(secret, peer="192.0.2.1", headers=forged)) == (403, "ip_not_allowed")
    through = [*forged, ("x-forwarded-for", "192.0.2.1")]
    assert code(ask(secret, door=behind(1), headers=through)) == (403, "ip_not_allowed")
    assert ask(secret, door=behind(1), peer="10.0.0.1", headers=forged).status == 200
    underscored = [("x_forwarded_for", "203.0.113.7")]
    assert code(ask(secret, door=behind(1), peer="10.0.0.1", headers=underscored)) == (
        403,
        "ip_not_allowed",
    )


def test_a_path_that_is_no_route_is_not_found_but_only_for_keys(
    acme: Tenant, make_key: MakeKey
) -> None:
    """Strangers learn nothing about what there is."""
    _, secret = make_key(acme)
    paths = [
        {"path": path}
        for path in ("/v1/", "/v1/whoami/", "//v1/whoami", "/v1/who%61mi", "/cs2/v1", "/client/")
    ]
    assert {code(reply) for reply in ask_each(secret, paths)} == {(404, "not_found")}
    assert code(ask(path="/v1/nothing")) == (401, "key_missing")


def test_another_method_is_not_allowed_and_its_body_is_not_read(
    acme: Tenant, make_key: MakeKey
) -> None:
    """The client of these tests would say so if it were."""
    _, secret = make_key(acme)
    reply = ask(secret, method="POST", headers=[("content-length", "1000000000")])
    assert code(reply) == (405, "method_not_allowed")
    assert reply.headers["allow"] == "GET, HEAD"


def test_a_format_that_we_do_not_have_is_not_acceptable(acme: Tenant, make_key: MakeKey) -> None:
    """And that is said in JSON."""
    _, secret = make_key(acme)
    reply = ask(secret, headers=[("accept", "text/html")])
    assert code(reply) == (406, "not_acceptable")
    assert reply.headers["content-type"] == "application/json"


def test_the_first_fault_in_the_table_is_the_one_told(acme: Tenant, make_key: MakeKey) -> None:
    """A dead key learns nothing about paths, methods or formats."""
    key, secret = make_key(acme)
    services.revoke_key(**act(acme, key))
    everything_wrong = {"path": "/v1/x", "method": "PUT", "headers": [("accept", "image/png")]}
    assert code(ask(secret, **everything_wrong)) == (403, "key_revoked")
