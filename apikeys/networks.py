"""Allowlists as people type them: addresses and CIDR ranges, checked one by one."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from portal.lib.address import Network, is_covered, parse_address, unmapped_network

MOST_NETWORKS = 100
_SHOWN_ERRORS = 10


@dataclass
class Allowlist:
    """The networks in their order, each once, and a sentence for each entry that is none."""

    networks: list[Network] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def read_allowlist(text: str) -> Allowlist:
    """Read comma-, semicolon- or line-separated entries. An empty list allows every address.

    Reading ends where the answer is known: long rubbish costs no more than short.
    """
    found = Allowlist()
    for entry in dict.fromkeys(filter(None, re.split(r"[\s,;]+", text))):
        network = _read(entry, found.errors)
        if network is not None and network not in found.networks:
            found.networks.append(network)
        if len(found.errors) == _SHOWN_ERRORS:
            break
        if len(found.networks) > MOST_NETWORKS:
            found.errors = [
                _("At most %(most)d networks; combine neighbours into ranges.")
                % {"most": MOST_NETWORKS}
            ]
            break
    return found


def covers(networks: Sequence[Network], address: str | None) -> bool:
    """Would a call from the address pass the list? An empty list allows every address."""
    if not networks:
        return True
    caller = parse_address(address or "")
    return caller is not None and is_covered(caller, networks)


def _read(entry: str, errors: list[str]) -> Network | None:
    try:
        network = _network(entry, strict=False)
    except ValueError:
        errors.append(
            _("“%(entry)s” is neither an IP address nor a CIDR range.") % {"entry": _short(entry)}
        )
        return None
    if network.prefixlen == 0:
        errors.append(
            _("“%(entry)s” is every address there is. Leave the list empty to allow all.")
            % {"entry": _short(entry)}
        )
        return None
    try:
        return _network(entry, strict=True)
    except ValueError:
        errors.append(
            _(
                "“%(entry)s” names an address inside a range. Did you mean the range "
                "“%(network)s” or the single address “%(address)s”?"
            )
            % {
                "entry": _short(entry),
                "network": network,
                "address": entry.partition("/")[0],
            }
        )
        return None


def _network(entry: str, *, strict: bool) -> Network:
    """ValueError for what is none, or, if strict, has bits set beyond its prefix."""
    if "%" in entry:
        raise ValueError("a zone means nothing on another machine")
    return unmapped_network(ipaddress.ip_network(entry, strict=strict))


def _short(entry: str) -> str:
    return entry if len(entry) <= 60 else entry[:57] + "…"
