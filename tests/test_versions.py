"""The rule of versions: whatever order changes, announcements and reads come in, newest wins."""

import ipaddress
import struct
import uuid
from dataclasses import dataclass, replace
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from apikeys.edge.directory import Directory
from apikeys.edge.rows import Row
from apikeys.verdict import KeyRecord
from portal.lib.crypto import digest
from tests.test_directory import make_row

SPORTS = tuple(f"sport{number}" for number in range(1000))


@dataclass(frozen=True)
class State:
    """A row of the model, or that there is none; no other state ever has its serial number."""

    version: int
    serial: int
    is_there: bool = True


@dataclass
class Read:
    """Under way: what it finds is decided somewhere between its two ends."""

    number: int
    begun: int
    found: dict[str, State] | None = None
    is_of_fingerprints: bool = False


class Interleaving(RuleBasedStateMachine):
    """Changes, announcements and reads in any order, on three keys of two tenants.

    The directory must never tell a state older than the one it heard of last, and in the end it
    tells the newest. The records that it is given carry the serial numbers of their states.
    """

    TENANT_OF = {1: 1, 2: 1, 3: 2}

    @initialize(most_keys=st.sampled_from([1, 2, 64]))
    def begin(self, most_keys: int) -> None:
        """Everything is there."""
        self.serials = count(1)
        parts = [f"{kind}{n}" for kind in ("tenant", "contract") for n in (1, 2)]
        parts += [f"{kind}{n}" for kind in ("key", "secret") for n in (1, 2, 3)]
        self.rows = {part: State(1, next(self.serials)) for part in parts}
        self.last_gone = dict.fromkeys(parts, 0)
        self.announced: list[tuple[str, str, int]] = []  # payload, part, serial to be told then
        self.heard = dict.fromkeys(parts, 0)
        self.reads: list[Read] = []
        self.directory = Directory(most_keys)

    @rule(index=st.integers(0, 9), steps=st.text("udi", min_size=1, max_size=4))
    def commit(self, index: int, steps: str) -> None:
        """A transaction that updates, deletes and inserts; equal announcements become one."""
        part = sorted(self.rows)[index]
        payloads: dict[str, None] = {}
        for step in steps:
            state = self.rows[part]
            if step == "u" and state.is_there:
                now = State(state.version + 1, next(self.serials))
            elif step == "i" and not state.is_there:
                now = State(1, next(self.serials))
            elif step == "d" and state.is_there and part.startswith(("contract", "secret")):
                now = State(0, next(self.serials), is_there=False)
                self.last_gone[part] = now.serial
            else:
                continue
            self.rows[part] = now
            payloads[f"{_announced_as(part)}:{now.version}"] = None
        # The last announcement of a transaction vouches for all of it.
        silent = [(payload, part, 0) for payload in payloads]
        if silent:
            self.announced += [*silent[:-1], (silent[-1][0], part, self.rows[part].serial)]

    @precondition(lambda self: self.announced)
    @rule()
    def hear(self) -> None:
        """The next announcement of the queue."""
        self._hear()

    @rule(number=st.sampled_from([1, 2, 3]), is_of_fingerprints=st.booleans())
    def begin_read(self, number: int, is_of_fingerprints: bool) -> None:
        """Of one key: of all that is known of it, or of whether it is as it was."""
        moment = self.directory.moment
        self.reads.append(Read(number, moment, is_of_fingerprints=is_of_fingerprints))

    @precondition(lambda self: self.reads)
    @rule(index=st.integers(0, 100))
    def look(self, index: int) -> None:
        """Postgres takes its snapshot for a read."""
        read = self.reads[index % len(self.reads)]
        read.found = read.found or dict(self.rows)

    @precondition(lambda self: any(read.found for read in self.reads))
    @rule(index=st.integers(0, 100))
    def end_read(self, index: int) -> None:
        """A read comes in."""
        looked = [read for read in self.reads if read.found]
        read = looked[index % len(looked)]
        self.reads.remove(read)
        self._learn(read)

    @rule(number=st.sampled_from([1, 2, 3]))
    def read_in_one_go(self, number: int) -> None:
        """The common case."""
        self._learn(Read(number, self.directory.moment, self.rows))

    @rule()
    def tidy(self) -> None:
        """The hand moves on."""
        self.directory.tidy()

    @rule()
    def lose_the_listener(self) -> None:
        """What was not heard by then never will be; LISTEN, and a new epoch."""
        self.announced.clear()
        self.heard = {part: state.serial for part, state in self.rows.items()}
        self.directory.begin_epoch()

    @invariant()
    def nothing_older_is_told_than_was_announced(self) -> None:
        """About any of the keys."""
        for number, tenant in self.TENANT_OF.items() if hasattr(self, "directory") else ():
            found = self.directory.find(digest(f"secret {number}"))
            if isinstance(found, KeyRecord):
                assert int(found.tenant_name) >= self.heard[f"tenant{tenant}"]
                assert int(found.tenant_slug) >= self.heard[f"contract{tenant}"]
                (network,) = found.networks
                assert int(network.network_address) >= self.heard[f"key{number}"]
                assert SPORTS.index(found.sports[0]) >= self.heard[f"secret{number}"]
            elif found is None:
                part = f"secret{number}"
                assert self.last_gone[part] >= self.heard[part]

    def teardown(self) -> None:
        """When all has been heard, and every read has come in, one more tells the newest."""
        while getattr(self, "announced", []):
            self._hear()
        for read in getattr(self, "reads", []):
            if read.found:
                self._learn(read)
        for number in self.TENANT_OF if hasattr(self, "directory") else ():
            newest = Read(number, self.directory.moment, self.rows)
            row = self._learn(newest)
            found = self.directory.find(digest(f"secret {number}"))
            # By what they say: no record equals another.
            assert repr(found) == repr(row.record() if row else None)

    def _hear(self) -> None:
        payload, part, serial = self.announced.pop(0)
        self.directory.hear(payload)
        self.heard[part] = max(serial, self.heard[part])

    def _learn(self, read: Read) -> Row | None:
        assert read.found
        found = {part: read.found[part] for part in self.rows}
        tenant, contract = (
            found[f"{kind}{self.TENANT_OF[read.number]}"] for kind in ("tenant", "contract")
        )
        key, secret = (found[f"{kind}{read.number}"] for kind in ("key", "secret"))
        row = make_row(
            read.number,
            tenant=self.TENANT_OF[read.number],
            networks=str(ipaddress.ip_network(key.serial)),
            key_version=key.version,
            secret_version=secret.version,
            sports=(SPORTS[secret.serial],),
            fingerprint=key.serial * 1000 + secret.serial,
        )
        shared = replace(
            row.shared,
            name=str(tenant.serial),
            tenant_version=tenant.version,
            slug=str(contract.serial),
            contract_version=contract.version,
            sports=SPORTS,
            fingerprint=tenant.serial * 1000 + contract.serial,
        )
        learnt = Row(shared, row.own) if secret.is_there else None
        sha = digest(f"secret {read.number}")
        if read.is_of_fingerprints:
            fingerprints = (shared.fingerprint, row.own.fingerprint) if learnt else (0, 0)
            self.directory.confirm(sha, struct.pack(">qq", *fingerprints), read.begun)
        else:
            self.directory.learn(sha, learnt, read.begun)
        return learnt


def _announced_as(part: str) -> str:
    kind, number = part[:-1], int(part[-1])
    offset = 1000 if kind == "key" else 0
    return f"{kind}:{number if kind == 'secret' else uuid.UUID(int=offset + number)}"


TestInterleaving = Interleaving.TestCase
TestInterleaving.settings = settings(deadline=None, max_examples=150, stateful_step_count=60)
