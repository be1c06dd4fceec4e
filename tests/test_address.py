"""Whose address, and whether a network covers it: tables, and properties against `ipaddress`."""

import ipaddress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apikeys.edge.routes import belongs_to_door
from portal.lib.address import (
    client_address,
    is_covered,
    parse_address,
    unmapped,
    unmapped_network,
)

STEADY = settings(deadline=None)  # a busy machine is slow, and that is all it is
ADDRESSES = st.ip_addresses()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7\t", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%eth0]:80", "fe80::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::ffff:cb00:7107", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:80", "203.0.113.7"),
        ("::203.0.113.7", "::cb00:7107"),  # the deprecated compatible form is not the mapped one
        ("", None),
        ("unknown", None),
        ("_hidden", None),
        ("203.0.113", None),
        ("203.0.113.256", None),
        ("203.0.113.007", None),  # octal to some, decimal to others
        ("0xcb.0.113.7", None),
        ("3405803783", None),
        ("203.0.113.7:", None),
        ("203.0.113.7:port", None),
        ("203.0.113.7:123456", None),
        ("[203.0.113.7]", None),
        ("[2001:db8::1", None),
        ("[2001:db8::1]x", None),
        ("[2001:db8::1]:", None),
        ("2001:db8::1]:80", None),
        ("2001:db8::1::", None),
        ("203.0.113.7, 192.0.2.1", None),
        ("203.0.113.0/24", None),
        ("\u0662.0.0.1", None),  # a digit, but not in an address
        ("203.0.113.7\x00", None),
        ("for=203.0.113.7", None),
    ],
)
def test_an_address_is_read_or_it_is_none(text: str, expected: str | None) -> None:
    """Nothing in between."""
    found = parse_address(text)
    assert (str(found) if found else None) == expected


PEER = "192.0.2.10"


@pytest.mark.parametrize(
    ("forwarded_for", "proxies", "expected"),
    [
        # Nobody before us: whatever is forwarded was forged.
        ([], 0, PEER),
        (["203.0.113.7"], 0, PEER),
        # One proxy: what it appended.
        (["203.0.113.7"], 1, "203.0.113.7"),
        (["198.51.100.1, 203.0.113.7"], 1, "203.0.113.7"),
        (["198.51.100.1", "203.0.113.7"], 1, "203.0.113.7"),
        (["198.51.100.1,203.0.113.7:55"], 1, "203.0.113.7"),
        (["198.51.100.1, [2001:db8::7]:55"], 1, "2001:db8::7"),
        # Two
        (["198.51.100.1, 203.0.113.7, 192.0.2.9"], 2, "203.0.113.7"),
        (["198.51.100.1, 203.0.113.7", "192.0.2.9"], 2, "203.0.113.7"),
        # Fewer entries than proxies: the call did not come through all of them.
        ([], 1, PEER),
        (["203.0.113.7"], 2, PEER),
        # An entry that cannot be read is no address, and nobody else's either.
        (["203.0.113.7, unknown"], 1, None),
        (["203.0.113.7,"], 1, None),
        (["203.0.113.7, "], 1, None),
        (["unknown, 203.0.113.7"], 1, "203.0.113.7"),
        (["::ffff:203.0.113.7"], 1, "203.0.113.7"),
    ],
)
def test_the_caller_is_counted_from_the_right(
    forwarded_for: list[str], proxies: int, expected: str | None
) -> None:
    """Each proxy of ours appended one entry; what stands before those is the caller's own."""
    found = client_address(PEER, forwarded_for, proxies)
    assert (str(found) if found else None) == expected


@pytest.mark.parametrize("peer", [None, "", "unix:", "/run/socket"])
def test_a_peer_without_an_address_has_none(peer: str | None) -> None:
    """Behind a Unix socket, for one."""
    assert client_address(peer, [], 0) is None


@STEADY
@given(st.lists(st.text(max_size=20), max_size=5), ADDRESSES, st.integers(1, 3))
def test_nothing_that_a_caller_writes_moves_its_address(
    forged: list[str], caller: Any, proxies: int
) -> None:
    """Our proxies append the true addresses; whatever was there before stays to the left."""
    appended = [str(caller), *["192.0.2.9"] * (proxies - 1)]
    assert client_address(PEER, [*forged, ", ".join(appended)], proxies) == unmapped(caller)


@STEADY
@given(st.text(max_size=60))
def test_no_text_is_too_strange_for_an_address(text: str) -> None:
    """Never an exception."""
    parse_address(text)


@STEADY
@given(ADDRESSES)
def test_every_address_is_read_as_ipaddress_reads_it(address: Any) -> None:
    """Plain, with a port, in brackets."""
    expected = unmapped(address)
    with_port = f"[{address}]:80" if address.version == 6 else f"{address}:80"
    assert parse_address(str(address)) == parse_address(with_port) == expected


@STEADY
@given(ADDRESSES, st.integers(0, 128))
def test_a_network_covers_what_ipaddress_says_it_covers(address: Any, bits: int) -> None:
    """Its first and last address and no neighbour."""
    bits = min(bits, address.max_prefixlen)
    network: Any = ipaddress.ip_network((address, bits), strict=False)
    assert is_covered(address, [network])
    for edge, step in ((network[0], -1), (network[-1], 1)):
        assert is_covered(edge, [network])
        beyond = int(edge) + step
        if 0 <= beyond < 2**address.max_prefixlen:
            assert not is_covered(type(address)(beyond), [network])


@STEADY
@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 32))
def test_mapped_addresses_and_networks_are_ipv4(one: Any, other: Any, bits: int) -> None:
    """In callers and in lists: both ways of writing it give one answer."""
    network: Any = ipaddress.ip_network((one, bits), strict=False)
    mapped: Any = ipaddress.ip_network(f"::ffff:{network.network_address}/{96 + bits}")
    caller = unmapped(ipaddress.ip_address(f"::ffff:{other}"))
    assert unmapped_network(mapped) == network
    assert is_covered(caller, [unmapped_network(mapped)]) == (other in network)


@STEADY
@given(st.ip_addresses(v=6), st.ip_addresses(v=4))
def test_families_do_not_meet(six: Any, four: Any) -> None:
    """`0.0.0.0/0` is every IPv4 address and no IPv6 one."""
    assert not is_covered(six, [ipaddress.ip_network("0.0.0.0/0")])
    assert not is_covered(four, [ipaddress.ip_network("::/0")])


@pytest.mark.parametrize(
    ("raw_path", "is_ours"),
    [
        (b"/v1", True),
        (b"/v1/", True),
        (b"/v1/whoami", True),
        (b"/cs2/v1", True),
        (b"/cs2/v1/matches", True),
        (b"/dota-2/v1/matches", True),
        # Not in normal form, but begins like ours
        (b"//v1/whoami", True),
        (b"/./v1/whoami", True),
        (b"/%761/whoami", True),
        (b"/v1%2Fwhoami", True),
        (b"/v1/../client", True),
        (b"/%2e/v1", True),
        (b"/cs2//v1/matches", True),
        (b"/cs2%2fv1/matches", True),
        (b"/" * 1000 + b"v1", True),
        (b"v1", True),
        # The pages', and nobody's
        (b"", False),
        (b"*", False),
        (b"/", False),
        (b"/v", False),
        (b"/v2/whoami", False),
        (b"/v10", False),
        (b"/V1/whoami", False),
        (b"/cs2", False),
        (b"/cs2/v2/v1", False),
        (b"/client/v1", False),
        (b"/client/../v1/whoami", False),
        (b"/%63lient/v1", False),
        (b"//client//v1", False),
        (b"/staff/v1/x", False),
        (b"/static/v1/x.css", False),
        (b"/internal/v1", False),
        (b"/healthz", False),
        (b"/readyz/v1", False),
        (b"/%zz/%", False),
    ],
)
def test_the_machine_door_knows_its_own_paths(raw_path: bytes, *, is_ours: bool) -> None:
    """Before any decoding."""
    assert belongs_to_door(raw_path) is is_ours


@STEADY
@given(st.binary(max_size=60))
def test_no_path_is_too_strange(raw_path: bytes) -> None:
    """Never an exception; all below /v1 is ours."""
    belongs_to_door(raw_path)
    assert belongs_to_door(b"/v1/" + raw_path)
