"""The verdict: a table of calls and what becomes of them, one row a rule."""

import dataclasses
import ipaddress
import uuid
from typing import Any

import pytest

from apikeys.refusals import TOO_MANY_STREAMS, UNAVAILABLE, Verdict, rate_limited
from apikeys.verdict import (
    Call,
    KeyRecord,
    Versions,
    judge,
    refuse_counted,
    refuse_uncounted,
    secret_to_look_up,
)

SECRET = "vbk_" + "aB3" * 8
KEY_ID = uuid.UUID(int=1)
TENANT_ID = uuid.UUID(int=2)
STREAM = b"/cs2/v1/stream"
OFFICE = (ipaddress.ip_network("203.0.113.0/24"), ipaddress.ip_network("2001:db8::/32"))


def call(**given: Any) -> Call:
    """A call that is let in, but for what is given."""
    given = {
        "keys": [SECRET],
        "address": ipaddress.ip_address("203.0.113.7"),
        "method": "GET",
        "path": b"/v1/whoami",
        "is_format_acceptable": True,
        "wants_stream": False,
    } | given
    return Call(**given)


def record(**given: Any) -> KeyRecord:
    """The record of a live key without an allowlist, but for what is given."""
    given = {
        "key": KEY_ID.bytes,
        "tenant_id": TENANT_ID,
        "tenant_slug": "acme",
        "tenant_name": "Acme Sportsbook",
        "is_tenant_suspended": False,
        "is_secret_retired": False,
        "is_key_revoked": False,
        "scopes": ("cs2:matches:list",),
        "sports": ("cs2",),
        "limit_rpm": 600,
        "max_streams": 50,
        "networks": (),
        "versions": Versions(1, 1, 1, 1),
        "secret_id": 1,
    } | given
    return KeyRecord(**given)


def outcome(verdict: Verdict) -> tuple[int, str]:
    """Status and code."""
    return verdict.status, verdict.code


def test_a_live_key_is_let_in() -> None:
    """Nothing refuses it."""
    verdict = judge(call(), record())
    assert verdict.is_allowed
    assert outcome(verdict) == (200, "")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([], (401, "key_missing")),
        ([""], (401, "key_missing")),
        ([SECRET, SECRET], (401, "key_ambiguous")),
        ([SECRET, ""], (401, "key_ambiguous")),
        (["", ""], (401, "key_ambiguous")),
        ([SECRET, "vbk_" + "0" * 24], (401, "key_ambiguous")),
        (["rubbish"], (403, "key_invalid")),
        ([SECRET[:-1]], (403, "key_invalid")),
        ([SECRET + "a"], (403, "key_invalid")),
        ([SECRET + "\n"], (403, "key_invalid")),
        (["\n" + SECRET], (403, "key_invalid")),
        ([SECRET + "\x00"], (403, "key_invalid")),
        ([SECRET.upper()], (403, "key_invalid")),
        (["VBK_" + SECRET[4:]], (403, "key_invalid")),
        ([SECRET[:-1] + "é"], (403, "key_invalid")),
        ([SECRET[:-1] + "\u0663"], (403, "key_invalid")),  # a digit, but not one of ours
        ([SECRET[:-1] + "_"], (403, "key_invalid")),
        ([f"{SECRET}, {SECRET}"], (403, "key_invalid")),
        ([f"Bearer {SECRET}"], (403, "key_invalid")),
        (["a" * 100_000], (403, "key_invalid")),
    ],
)
def test_what_is_no_single_well_formed_key_is_refused_unasked(
    keys: list[str], expected: tuple[int, str]
) -> None:
    """And nothing is asked of the database; even a record would not help."""
    assert secret_to_look_up(call(keys=keys)) is None
    assert outcome(judge(call(keys=keys), None)) == expected
    assert outcome(judge(call(keys=keys), record())) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([], (401, "key_missing")),
        ([SECRET, SECRET], (401, "key_ambiguous")),
        (["rubbish"], (403, "key_invalid")),
    ],
)
def test_a_handshake_without_one_key_is_told_both_places_for_it(
    keys: list[str], expected: tuple[int, str]
) -> None:
    """In a browser there is no way to set the header."""
    verdict = judge(call(keys=keys, path=STREAM, wants_stream=True), None)
    assert outcome(verdict) == expected
    assert ("api_key" in verdict.detail) is (verdict.status == 401)


@pytest.mark.parametrize("keys", [[], [SECRET, SECRET]])
def test_401_says_how_to_authenticate(keys: list[str]) -> None:
    """RFC 9110 §15.5.2 asks for it."""
    assert judge(call(keys=keys), None).headers == ((b"www-authenticate", b"ApiKey"),)


def test_a_well_formed_key_is_looked_up() -> None:
    """As it was sent."""
    assert secret_to_look_up(call()) == SECRET


def test_an_unknown_key_is_invalid() -> None:
    """Well-formed, but there is no record."""
    assert outcome(judge(call(), None)) == (403, "key_invalid")


@pytest.mark.parametrize(
    ("dead", "word"),
    [
        ({"is_secret_retired": True}, "rotated"),
        ({"is_key_revoked": True}, "revoked"),
        ({"is_key_revoked": True, "is_secret_retired": True}, "revoked"),
    ],
)
def test_a_dead_key_is_refused_and_the_detail_says_how_it_died(
    dead: dict[str, bool], word: str
) -> None:
    """One code for both, as the table has it."""
    verdict = judge(call(), record(**dead))
    assert outcome(verdict) == (403, "key_revoked")
    assert word in verdict.detail


def test_a_suspended_tenants_key_is_refused() -> None:
    """All of its keys are."""
    assert outcome(judge(call(), record(is_tenant_suspended=True))) == (403, "tenant_suspended")


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("203.0.113.0", True),
        ("203.0.113.255", True),
        ("203.0.114.0", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("::ffff:203.0.113.7", False),  # is IPv4 by the time it gets here; as IPv6 it is another
    ],
)
def test_the_allowlist_decides_by_address(address: str, *, is_allowed: bool) -> None:
    """Networks of either family."""
    verdict = judge(call(address=ipaddress.ip_address(address)), record(networks=OFFICE))
    assert verdict.is_allowed is is_allowed
    if not is_allowed:
        assert outcome(verdict) == (403, "ip_not_allowed")
        assert str(ipaddress.ip_address(address)) in verdict.detail


def test_an_empty_allowlist_lets_in_even_what_has_no_address() -> None:
    """It allows all."""
    assert judge(call(address=None), record()).is_allowed


def test_an_allowlist_refuses_what_has_no_readable_address() -> None:
    """Even one that covers everything: nobody knows what it would cover."""
    everything = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
    verdict = judge(call(address=None), record(networks=everything))
    assert outcome(verdict) == (403, "ip_not_allowed")
    assert "could not be read" in verdict.detail


def test_head_is_a_get() -> None:
    """The server leaves the body out."""
    assert judge(call(method="HEAD"), record()).is_allowed


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get", "TRACE", ""])
def test_other_methods_are_told_which_ones_there_are(method: str) -> None:
    """RFC 9110 §15.5.6 asks for `Allow`."""
    verdict = judge(call(method=method), record())
    assert outcome(verdict) == (405, "method_not_allowed")
    assert verdict.headers == ((b"allow", b"GET, HEAD"),)
    recovery = call(path=b"/cs2/v1/recovery", method=method)
    verdict = judge(recovery, record(scopes=("cs2:recovery:initiate",)))
    assert verdict.is_allowed is (method == "POST")
    assert verdict.is_allowed or verdict.headers == ((b"allow", b"POST"),)


def test_a_format_that_we_do_not_have_is_not_acceptable() -> None:
    """The last check before the resource."""
    verdict = judge(call(is_format_acceptable=False), record())
    assert outcome(verdict) == (406, "not_acceptable")


# Each fault in the order of the table: the call's part of it, the record's, and what it leads to.
FAULTS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"keys": [SECRET, SECRET]}, {}, "key_ambiguous"),
    ({}, {"is_secret_retired": True}, "key_revoked"),
    ({}, {"is_tenant_suspended": True}, "tenant_suspended"),
    ({"address": ipaddress.ip_address("192.0.2.1")}, {"networks": OFFICE}, "ip_not_allowed"),
    ({"path": b"/cs2/v1/maps"}, {"sports": ("dota2",)}, "sport_not_allowed"),
    ({"path": b"/cs2/v1/maps"}, {"scopes": ("cs2:maps:read",)}, "scope_not_granted"),
    ({"path": b"/cs2/v1/matches", "method": "POST"}, {}, "method_not_allowed"),
    ({"is_format_acceptable": False}, {}, "not_acceptable"),
]


@pytest.mark.parametrize("first", range(len(FAULTS)))
def test_of_several_faults_the_first_in_the_table_is_told(first: int) -> None:
    """All faults from one on, at once."""
    asked: dict[str, Any] = {}
    known: dict[str, Any] = {}
    for call_part, record_part, _ in reversed(FAULTS[first:]):
        asked |= call_part
        known |= record_part
    assert judge(call(**asked), record(**known)).code == FAULTS[first][2]


def test_what_is_refused_before_the_limit_is_not_counted_and_the_format_comes_after_it() -> None:
    """406 costs quota, as the documented order has it; nothing before does."""
    for asked, known, code in FAULTS:
        uncounted = refuse_uncounted(call(**asked), record(**known))
        counted = refuse_counted(call(**asked))
        if code == "not_acceptable":
            assert uncounted is None and counted is not None
        elif code != "key_ambiguous":  # which is seen before anything is looked up
            assert uncounted is not None and counted is None


def test_too_many_calls_are_told_how_long_to_wait() -> None:
    """In whole seconds, and in words."""
    verdict = rate_limited(600, 12)
    assert outcome(verdict) == (429, "rate_limited")
    assert verdict.headers == ((b"retry-after", b"12"),)
    assert "600 calls" in verdict.detail and "12 seconds" in verdict.detail
    assert "a second." in rate_limited(600, 1).detail


def test_every_refusal_is_a_sentence_for_people() -> None:
    """With a code for programs."""
    refusals = [judge(call(**asked), record(**known)) for asked, known, _ in FAULTS]
    others = [judge(call(), None), judge(call(keys=[]), None), UNAVAILABLE, TOO_MANY_STREAMS]
    for verdict in [*refusals, *others, rate_limited(60, 1)]:
        assert not verdict.is_allowed
        assert verdict.detail[0].isupper() and verdict.detail.endswith(".")


def test_what_a_verdict_is_made_of_cannot_be_changed() -> None:
    """Records are shared between calls."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        record().is_key_revoked = False  # type: ignore[misc]
