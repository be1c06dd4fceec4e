"""Whose address: the one place that decides where a call came from.

People, machines, audit and throttles all ask here. The first entry of `X-Forwarded-For` is whatever
the caller wrote, so entries are counted from the right, one for each proxy of ours.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(
    peer: str | None, forwarded_for: Iterable[str], trusted_proxies: int
) -> Address | None:
    """The caller's address, or None where it cannot be read.

    peer: the address at the other end of the socket. forwarded_for: the values of all
    `X-Forwarded-For` lines in their order. With n trusted proxies it is the n-th entry from the
    right; with fewer entries than n, or n = 0, it is the peer.
    """
    if trusted_proxies > 0:
        entries = ",".join(forwarded_for).split(",")
        if entries != [""] and len(entries) >= trusted_proxies:
            return parse_address(entries[-trusted_proxies])
    return parse_address(peer or "")


@lru_cache(maxsize=1024)
def parse_address(text: str) -> Address | None:
    """`203.0.113.7`, `203.0.113.7:4711`, `2001:db8::1`, `[2001:db8::1]:4711`; else None.

    IPv4-mapped IPv6 is IPv4; a zone (`%eth0`) is dropped, since it means nothing elsewhere.
    """
    host = _without_port(text.strip())
    try:
        return unmapped(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return None


def unmapped(address: Address) -> Address:
    """`::ffff:203.0.113.7` is `203.0.113.7`."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def unmapped_network(network: Network) -> Network:
    """`::ffff:203.0.113.0/120` is `203.0.113.0/24`."""
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network


def network_text(network: Network) -> str:
    """A network as people write it: a single address without its `/32` or `/128`."""
    is_single = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if is_single else str(network)


def is_covered(address: Address, networks: Iterable[Network]) -> bool:
    """Is the address in one of the networks? Networks of the other family never match."""
    return any(address.version == net.version and address in net for net in networks)


def _without_port(text: str) -> str:
    if text.startswith("["):
        host, closed, port = text[1:].partition("]")
        is_whole = closed and (not port or (port[:1] == ":" and _is_port(port[1:])))
        return host if is_whole and ":" in host else ""
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host if _is_port(port) else ""
    return text


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5
