"""The rows of many keys in little memory: about 230 bytes a key, the hash that finds it included.

A key's own part is packed into one bytes object, which costs less than half of an object with
attributes and is nothing that Python's garbage collector has to look at. What the keys of a tenant
share is held once, and so is each combination of scopes and sports.
"""

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from apikeys.edge.held import Held
from apikeys.edge.rows import Own, Row, Shared

# key, tenant, secret, versions of key and secret, number of the grants, moment, flags, fingerprint;
# networks
_HEAD: Final = struct.Struct("<16s16sQIIIQBq")
_MOMENT: Final = struct.Struct("<Q")
_MOMENT_AT: Final = struct.calcsize("<16s16sQIII")
_FINGERPRINTS: Final = struct.Struct(">qq")  # as Postgres sends two bigint
_RETIRED, _REVOKED = 1, 2
# Bytes that an entry takes besides what is packed, and a tenancy; measured, with tracemalloc.
_ENTRY, _TENANCY = 160, 800

Head = tuple[bytes, bytes, int, int, int, int, int, int, int]
_Grants = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(slots=True)
class Tenancy:
    """What a tenant's keys share, the moment in which its read began, how many entries use it."""

    shared: Shared
    moment: int
    entries: int = 0


class Entries:
    """Packed entries in a circle: new ones come in behind the hand, the next to go is before it."""

    def __init__(self) -> None:
        self._packed: dict[bytes, bytes] = {}
        self._circle: deque[bytes] = deque()  # exactly the keys of _packed
        self._tenancies: dict[bytes, Tenancy] = {}
        self._grants: list[_Grants] = []
        self._grant_numbers: dict[_Grants, int] = {}
        self.size = 0  # of all of it in bytes, roughly; grants have a bound of their own

    def __len__(self) -> int:
        return len(self._packed)

    def __iter__(self) -> Iterator[bytes]:
        """The hashes, in the order in which they came in."""
        return iter(self._packed)

    @property
    def combinations(self) -> int:
        """How many combinations of scopes and sports are held; they are never let go."""
        return len(self._grants)

    def head(self, sha: bytes) -> Head | None:
        """The fixed part of an entry, without making objects of the rest."""
        packed = self._packed.get(sha)
        return None if packed is None else _HEAD.unpack_from(packed)

    def tenancy(self, tenant_id: bytes) -> Tenancy | None:
        """What the keys of the tenant share, if any of them is held."""
        return self._tenancies.get(tenant_id)

    def row(self, sha: bytes) -> Row:
        """The whole entry. KeyError if there is none."""
        packed = self._packed[sha]
        key, tenant_id, secret_id, key_version, secret_version, number, _, flags, fingerprint = (
            _HEAD.unpack_from(packed)
        )
        scopes, sports = self._grants[number]
        own = Own(
            key,
            secret_id,
            bool(flags & _RETIRED),
            bool(flags & _REVOKED),
            scopes,
            sports,
            packed[_HEAD.size :].decode("ascii"),
            key_version,
            secret_version,
            fingerprint,
        )
        return Row(self._tenancies[tenant_id].shared, own)

    def record(self, sha: bytes) -> Held:
        """What the verdict is made from, and what says whether it still `is_of`."""
        row = self.row(sha)
        record = row.record()
        record.packed, record.shared = self._packed[sha], row.shared
        return record

    def is_of(self, sha: bytes, record: Held) -> bool:
        """Whether the entry is the very one that this record was made from."""
        packed = self._packed.get(sha)
        if packed is None or packed is not record.packed:
            return False
        return self._tenancies[_HEAD.unpack_from(packed)[1]].shared is record.shared

    def fingerprints(self, sha: bytes) -> bytes | None:
        """Of both parts, as `rows.FINGERPRINTS` sends them."""
        head = self.head(sha)
        if head is None:
            return None
        return _FINGERPRINTS.pack(self._tenancies[head[1]].shared.fingerprint, head[-1])

    def confirm(self, sha: bytes, moment: int, record: Held | None) -> None:
        """What is held was read in that moment as it is. record: one made of it may stay."""
        packed = self._packed[sha]
        tenancy = self._tenancies[_HEAD.unpack_from(packed)[1]]
        tenancy.moment = max(tenancy.moment, moment)
        (earlier,) = _MOMENT.unpack_from(packed, _MOMENT_AT)
        before, after = packed[:_MOMENT_AT], packed[_MOMENT_AT + _MOMENT.size :]
        self._packed[sha] = before + _MOMENT.pack(max(earlier, moment)) + after
        if record is not None and record.packed is packed:
            record.packed = self._packed[sha]

    def put_own(self, sha: bytes, row: Row, moment: int) -> None:
        """Hold a key's own part, instead of an earlier one. What it shares is held already."""
        own, tenant_id = row.own, row.shared.tenant_id.bytes
        earlier = self._packed.get(sha)
        self._tenancies[tenant_id].entries += 1
        if earlier is None:
            self._circle.append(sha)
        else:
            self._leave(earlier)
        flags = _RETIRED * own.is_secret_retired | _REVOKED * own.is_key_revoked
        head = _HEAD.pack(
            own.key,
            tenant_id,
            own.secret_id,
            own.key_version,
            own.secret_version,
            self._number((own.scopes, own.sports)),
            moment,
            flags,
            own.fingerprint,
        )
        self._packed[sha] = head + own.networks.encode("ascii")
        self.size += _ENTRY + len(self._packed[sha])

    def put_shared(self, shared: Shared, moment: int) -> None:
        """Hold what a tenant's keys share, instead of an earlier state of it."""
        tenancy = self._tenancies.get(shared.tenant_id.bytes)
        if tenancy is None:
            self._tenancies[shared.tenant_id.bytes] = Tenancy(shared, moment)
            self.size += _TENANCY
            return
        if tenancy.shared != shared:  # else the records that were made from it may stay
            tenancy.shared = shared
        tenancy.moment = moment

    def at_hand(self) -> bytes:
        """The entry that the hand points to. IndexError if there is none."""
        return self._circle[0]

    def pass_over(self) -> None:
        """Keep the entry at the hand for another round."""
        self._circle.rotate(-1)

    def let_go(self) -> None:
        """Drop the entry at the hand, and what only it shared."""
        self._leave(self._packed.pop(self._circle.popleft()))

    def _leave(self, packed: bytes) -> None:
        self.size -= _ENTRY + len(packed)
        tenant_id = _HEAD.unpack_from(packed)[1]
        tenancy = self._tenancies[tenant_id]
        tenancy.entries -= 1
        if not tenancy.entries:
            del self._tenancies[tenant_id]
            self.size -= _TENANCY

    def _number(self, grants: _Grants) -> int:
        number = self._grant_numbers.get(grants)
        if number is None:
            number = self._grant_numbers[grants] = len(self._grants)
            self._grants.append(grants)
        return number
