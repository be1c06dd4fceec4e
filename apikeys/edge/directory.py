"""What this process remembers of the keys in use, and when it may believe that.

Each announcement from the database carries a kind, an id and a version. What is remembered under a
lower version is not believed from then on, and what a read brings that was under way meanwhile
is measured by the same rule: versions decide, not the order in which things arrive. Time is counted
in moments: each announcement begins a new one, and a read belongs to the moment it began in.
docs/decisions/0007-directory.md has the reasons.
"""

import uuid
from collections import deque
from enum import Enum
from itertools import chain, islice
from time import monotonic

from apikeys.edge.entries import Entries, Tenancy
from apikeys.edge.floors import Floors, Part
from apikeys.edge.held import Held
from apikeys.edge.rows import Row, Shared

BELIEVED_SECONDS = 0.6  # after the last proof that announcements arrive; see listener.py
UNKNOWN_SECONDS = 0.5  # for which a secret that is none of ours is remembered
MOST_UNKNOWN = 10_000
MOST_FLOORS = 100_000  # rows changed since the hand last went round; about 30 MB
MOST_COMBINATIONS = 100_000  # of scopes and sports; about 30 MB
KEY_BYTES = 400  # for so many times the number of keys there is room; most take about 250
LEAST_BYTES = 2**20  # there is room for, however few keys may be held
# One key in so many is held ready as a record, at 350 bytes more; and those have as many networks
# at most, each of which takes about as much.
READY_SHARE = 8
SECOND_CHANCES = 8  # entries that the hand passes over for one that it lets go
SWEPT_AT_ONCE = 1_000  # entries; takes a millisecond

# Announced for a new row: nothing can be remembered under less, except that there is no contract.
_LOWEST_VERSION = {"tenant": 1, "contract": None, "key": 1, "secret": 1}


class Missing(Enum):
    """Nothing that may be believed is known: it must be read."""

    MISSING = "missing"


MISSING = Missing.MISSING


class Directory:
    """Records by the SHA-256 of their secrets, at most so many. Does no I/O."""

    def __init__(self, most_keys: int) -> None:
        """Nothing is believed before `prove` was called. Keys with long allowlists are fewer."""
        self._most_keys = most_keys
        self._most_bytes = max(most_keys * KEY_BYTES, LEAST_BYTES)
        self._entries = Entries()
        self._floors = Floors()
        self._unknown: dict[bytes, tuple[int, float]] = {}  # moment of the read, until when
        self._ready: dict[bytes, Held] = {}
        self._ready_order: deque[bytes] = deque()
        self._ready_networks = 0
        self._proved_at = self._believed_until = float("-inf")
        self._moment = 0
        self._epoch = 0  # the first moment whose reads are believed
        self._unknown_since = 0  # the same, of reads that found nothing
        self._horizon = 0  # the same, of reads that come in now: floors before it are forgotten
        self._round_began = 0
        self._left_in_round = 0
        self._round_epoch = self._swept_epoch = -1  # of the round under way, and of the last whole
        self._spared_until = float("-inf")

    def __len__(self) -> int:
        """How many keys are remembered, those that are not believed any more included."""
        return len(self._entries)

    @property
    def moment(self) -> int:
        """The present one. A read must learn it before it begins."""
        return self._moment

    @property
    def proved_at(self) -> float:
        """When the last proof was begun, on time.monotonic's clock; minus infinity before it."""
        return self._proved_at

    def is_fresh(self, grace_seconds: float = 0) -> bool:
        """Whether every change would have been heard up to BELIEVED_SECONDS ago, and a grace."""
        return monotonic() - self._proved_at <= BELIEVED_SECONDS + grace_seconds

    def find(self, sha: bytes) -> Held | Missing | None:
        """The record; None for a secret that is none of ours; MISSING where it must be read.

        To be believed only while `is_fresh`.
        """
        ready = self._ready.get(sha)
        if ready is not None and (ready.moment == self._moment or self._still_holds(sha, ready)):
            return ready
        if self._vouched(sha):
            record = self._entries.record(sha)
            self._make_ready(sha, record)
            return record
        unknown = self._unknown.get(sha)
        if unknown and unknown[0] >= self._unknown_since and monotonic() < unknown[1]:
            return None
        return MISSING

    def ready(self, sha: bytes) -> Held | None:
        """A record that is held ready and to be believed now; None where it takes a longer look."""
        ready = self._ready.get(sha)
        if ready is None or monotonic() > self._believed_until:
            return None
        if ready.moment == self._moment or self._still_holds(sha, ready):
            return ready
        return None

    def believes(self, row: Row | None, begun: int) -> bool:
        """Whether a read that began in that moment has not been overruled since."""
        if begun < max(self._epoch, self._horizon):
            return False
        if row is None:
            return begun >= self._unknown_since
        return self._allows_shared(row.shared, begun) and self._allows_own(
            row.own.key,
            row.own.key_version,
            row.own.secret_id,
            row.own.secret_version,
            begun,
        )

    def learn(self, sha: bytes, row: Row | None, begun: int) -> None:
        """Remember what a read brought, unless something newer is known."""
        if not self.believes(row, begun):
            return
        if row is None:
            if len(self._unknown) >= MOST_UNKNOWN:
                self._unknown.clear()
            self._unknown[sha] = (begun, monotonic() + UNKNOWN_SECONDS)
            return
        if self._entries.combinations >= MOST_COMBINATIONS:
            self._entries = Entries()
            return
        tenancy = self._entries.tenancy(row.shared.tenant_id.bytes)
        is_superseded = self._knows_newer_own(sha, row)
        if tenancy is None and is_superseded:
            return
        if tenancy is None or not self._knows_newer_shared(tenancy, row):
            self._entries.put_shared(row.shared, begun)
        if not is_superseded:
            self._entries.put_own(sha, row, begun)
        while len(self._entries) > self._most_keys or self._entries.size > self._most_bytes:
            self._evict()

    def held(self, most: int) -> list[bytes]:
        """The hashes of so many of those that are remembered, first of those held ready."""
        others = (sha for sha in self._entries if sha not in self._ready)
        return list(islice(chain(self._ready, others), most))

    def spare(self, seconds: float) -> None:
        """Let go of nothing that is not believed for so long: it is being asked about."""
        self._spared_until = monotonic() + seconds

    def confirm(self, sha: bytes, fingerprints: bytes, begun: int) -> None:
        """A read that began in that moment found these (`rows.FINGERPRINTS`).

        Where they are those of the row that is held, it was read in that moment as it is. What was
        announced since decides as before.
        """
        if self._entries.fingerprints(sha) == fingerprints:
            self._entries.confirm(sha, begun, self._ready.get(sha))

    def hear(self, payload: str) -> None:
        """An announcement: `kind:id:version`, or `*` for everything.

        Kinds that no record is made of are passed over. What cannot be read may mean anything, so
        it means everything.
        """
        kind, _, rest = payload.partition(":")
        name, _, number = rest.partition(":")
        if not kind.isalpha():
            self.begin_epoch()
            return
        if kind not in _LOWEST_VERSION:
            return
        try:
            part: Part = (kind, int(name) if kind == "secret" else uuid.UUID(name).bytes)
            version = int(number)
        except ValueError:
            self.begin_epoch()
            return
        self._moment += 1
        if version != _LOWEST_VERSION[kind] or part in self._floors:
            self._floors.hear(part, version, self._moment)
        if kind == "secret":
            self._unknown_since = self._moment
        if len(self._floors) > MOST_FLOORS:
            self.begin_epoch()

    def begin_epoch(self) -> None:
        """Nothing that was read until now is believed any more. Frees no memory: `tidy` does."""
        self._moment += 1
        self._epoch = self._unknown_since = self._moment
        self._floors.clear()

    def prove(self, at: float) -> None:
        """All that was announced before this time, on time.monotonic's clock, was heard."""
        self._proved_at = max(self._proved_at, at)
        self._believed_until = self._proved_at + BELIEVED_SECONDS

    def tidy(self) -> None:
        """Move the hand on, past what may be believed; what may not is let go.

        When it has been all round, the floors that were there when it began concern nothing that
        is still remembered; and no read that began before is let in any more. Where nothing has
        been overruled since, there is nothing to look for.
        """
        is_swept = not self._floors and self._swept_epoch == self._epoch
        if is_swept or monotonic() < self._spared_until:
            return
        for _ in range(min(SWEPT_AT_ONCE, len(self._entries))):
            self._left_in_round -= 1
            if self._vouched(self._entries.at_hand()):
                self._entries.pass_over()
            else:
                self._entries.let_go()
        if self._left_in_round <= 0:
            self._floors.forget(self._round_began)
            self._horizon = self._round_began
            self._round_began = self._moment
            self._left_in_round = len(self._entries)
            self._swept_epoch, self._round_epoch = self._round_epoch, self._epoch

    def _evict(self) -> None:
        """Let one entry go, if possible one that was not in use lately.

        Those passed over are checked as in `tidy`, since they count as seen in its round.
        """
        for _ in range(SECOND_CHANCES):
            self._left_in_round -= 1
            sha = self._entries.at_hand()
            if sha not in self._ready or not self._vouched(sha):
                break
            self._entries.pass_over()
        self._entries.let_go()

    def _make_ready(self, sha: bytes, record: Held) -> None:
        if earlier := self._ready.get(sha):
            self._ready_networks -= len(earlier.networks)
        else:
            self._ready_order.append(sha)
        record.moment = self._moment
        self._ready[sha] = record
        self._ready_networks += len(record.networks)
        most = self._most_keys // READY_SHARE
        while len(self._ready_order) > most or self._ready_networks > most:
            self._ready_networks -= len(self._ready.pop(self._ready_order.popleft()).networks)

    def _still_holds(self, sha: bytes, ready: Held) -> bool:
        """Whether what was announced since its last check concerned others."""
        if not (self._entries.is_of(sha, ready) and self._vouched(sha)):
            return False
        ready.moment = self._moment
        return True

    def _vouched(self, sha: bytes) -> bool:
        """Whether there is an entry that nothing overrules."""
        head = self._entries.head(sha)
        if head is None:
            return False
        key_id, tenant_id, secret_id, key_version, secret_version, _, moment, *_ = head
        tenancy = self._entries.tenancy(tenant_id)
        if tenancy is None or min(moment, tenancy.moment) < self._epoch:
            return False
        return not self._floors or (
            self._allows_shared(tenancy.shared, tenancy.moment)
            and self._allows_own(key_id, key_version, secret_id, secret_version, moment)
        )

    def _allows_shared(self, shared: Shared, begun: int) -> bool:
        tenant_id = shared.tenant_id.bytes
        return self._floors.allow(("tenant", tenant_id), shared.tenant_version, begun) and (
            self._floors.allow(("contract", tenant_id), shared.contract_version, begun)
        )

    def _allows_own(
        self, key_id: bytes, key_version: int, secret_id: int, secret_version: int, begun: int
    ) -> bool:
        return self._floors.allow(("key", key_id), key_version, begun) and (
            self._floors.allow(("secret", secret_id), secret_version, begun)
        )

    def _knows_newer_shared(self, tenancy: Tenancy, row: Row) -> bool:
        held, read = tenancy.shared, row.shared
        return (
            tenancy.moment >= self._epoch
            and self._allows_shared(held, tenancy.moment)
            and (
                held.tenant_version > read.tenant_version
                or held.contract_version > read.contract_version
            )
        )

    def _knows_newer_own(self, sha: bytes, row: Row) -> bool:
        head = self._entries.head(sha)
        if head is None or not self._vouched(sha):
            return False
        key_id, _, secret_id, key_version, secret_version, *_ = head
        is_same = (key_id, secret_id) == (row.own.key, row.own.secret_id)
        return is_same and (
            key_version > row.own.key_version or secret_version > row.own.secret_version
        )
