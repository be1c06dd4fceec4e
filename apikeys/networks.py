"""Allowlists as people type them: addresses and CIDR ranges, checked one by one."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from portal.lib.address import Network, is_covered, parse_address, unmapped_network

MOST_NETWORKS = 100
_MOST_ENTRIES = 1000  # what is read at all, before duplicates are merged
_SHOWN_ERRORS = 10


@dataclass
class Allowlist:
    """The networks in their order, each once, and a sentence for each entry that is none."""

    networks: list[Network] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def read_allowlist(text: str) -> Allowlist:
    """Read comma-, semicolon- or line-separated entries. An empty list allows every address."""
    entries = [entry for entry in re.split(r"[\s,;]+", text) if entry]
    found = Allowlist()
    for entry in entries[:_MOST_ENTRIES]:
        network = _read(entry, found.errors)
        if network is not None and network not in found.networks:
            found.networks.append(network)
    if len(found.networks) > MOST_NETWORKS or len(entries) > _MOST_ENTRIES:
        found.errors = [
            _("At most %(most)d networks; combine neighbours into ranges.")
            % {"most": MOST_NETWORKS}
        ]
    del found.errors[_SHOWN_ERRORS:]
    return found


def covers(networks: Sequence[Network], address: str | None) -> bool:
    """Would a call from the address pass the list? An empty list allows every address."""
    if not networks:
        return True
    caller = parse_address(address or "")
    return caller is not None and is_covered(caller, networks)


def _read(entry: str, errors: list[str]) -> Network | None:
    short = entry if len(entry) <= 60 else entry[:57] + "…"
    try:
        network = unmapped_network(ipaddress.ip_network(entry))
    except ValueError:
        errors.append(_why_not(entry, short))
        return None
    if network.prefixlen == 0:
        errors.append(
            _("“%(entry)s” is every address there is. Leave the list empty to allow all.")
            % {"entry": short}
        )
        return None
    return network


def _why_not(entry: str, short: str) -> str:
    try:
        suggested = unmapped_network(ipaddress.ip_network(entry, strict=False))
    except ValueError:
        return _("“%(entry)s” is neither an IP address nor a CIDR range.") % {"entry": short}
    return _(
        "“%(entry)s” names an address inside a range. Did you mean the range “%(network)s” "
        "or the single address “%(address)s”?"
    ) % {"entry": short, "network": suggested, "address": entry.partition("/")[0]}
