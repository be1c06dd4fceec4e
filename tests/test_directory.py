"""What a process remembers of keys: when it is believed, and that it stays small."""

import ipaddress
import uuid
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from apikeys.edge import directory as directories
from apikeys.edge.directory import MISSING, Directory
from apikeys.edge.rows import Own, Row, Shared
from apikeys.verdict import KeyRecord
from portal.lib.crypto import digest

SPORTS = tuple(f"sport{number}" for number in range(1000))


def make_row(number: int = 1, *, tenant: int = 1, **own: Any) -> Row:
    """A key of a tenant, as it is read for the first time."""
    shared = Shared(
        uuid.UUID(int=tenant), "acme", "Acme", False, 1, ("cs2:matches:list",), ("cs2",), 600, 1
    )
    first: dict[str, Any] = {
        "is_secret_retired": False,
        "is_key_revoked": False,
        "scopes": ("cs2:matches:list",),
        "sports": ("cs2",),
        "networks": "",
        "key_version": 1,
        "secret_version": 1,
    }
    key = Own(key_id=uuid.UUID(int=1000 + number), secret_id=number, **{**first, **own})
    return Row(shared, key)


def learnt(directory: Directory, number: int, row: Row | None = None) -> bytes:
    """Read and remembered in the present moment; the hash it is found by."""
    sha = digest(f"secret {number}")
    directory.learn(sha, row or make_row(number), directory.moment)
    return sha


def test_what_was_learnt_is_found_whole() -> None:
    """Every member of a record, out of the packed form and once more when it is ready."""
    directory = Directory(100)
    row = make_row(is_secret_retired=True, networks="192.0.2.0/24,2001:db8::/32")
    sha = learnt(directory, 1, row)
    assert directory.find(sha) == row.record()
    assert directory.find(sha) is directory.find(sha)
    revoked = make_row(2, is_key_revoked=True, key_version=7, secret_version=8)
    assert directory.find(learnt(directory, 2, revoked)) == revoked.record()


def test_what_nobody_asked_for_must_be_read() -> None:
    """And so must a secret that was unknown, half a second later."""
    directory = Directory(100)
    sha = digest("nobody's")
    assert directory.find(sha) is MISSING
    directory.learn(sha, None, directory.moment)
    assert directory.find(sha) is None


def test_an_unknown_secret_is_remembered_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a new one opens the door in time even where nothing is announced."""
    now = [100.0]
    monkeypatch.setattr(directories, "monotonic", lambda: now[0])
    directory = Directory(100)
    directory.learn(digest("early"), None, directory.moment)
    now[0] += directories.UNKNOWN_SECONDS
    assert directory.find(digest("early")) is MISSING


def test_a_new_secret_opens_the_door_at_once_although_it_was_unknown() -> None:
    """Its announcement overrules what was remembered, and reads that were under way."""
    directory = Directory(100)
    begun = directory.moment
    directory.learn(digest("early"), None, begun)
    directory.hear("secret:5:1")
    assert directory.find(digest("early")) is MISSING
    assert not directory.believes(None, begun)


@pytest.mark.parametrize(
    ("payload", "is_overruled"),
    [
        (f"tenant:{uuid.UUID(int=1)}:2", True),
        (f"contract:{uuid.UUID(int=1)}:2", True),
        (f"key:{uuid.UUID(int=1001)}:2", True),
        ("secret:1:2", True),
        ("secret:1:0", True),
        ("*", True),
        ("rubbish", False),  # a kind that only later versions know
        ("secret:rubbish", True),
        ("", True),
        (f"tenant:{uuid.UUID(int=1)}:1", False),
        (f"tenant:{uuid.UUID(int=2)}:2", False),
        ("market:7:3", False),
    ],
)
def test_an_announcement_overrules_what_it_is_about(payload: str, is_overruled: bool) -> None:
    """And nothing else; what cannot be read may be about anything."""
    directory = Directory(100)
    sha = learnt(directory, 1)
    begun = directory.moment
    directory.hear(payload)
    assert (directory.find(sha) is MISSING) is is_overruled
    assert directory.believes(make_row(), begun) is not is_overruled


def test_one_read_tells_about_a_tenant_for_all_its_keys() -> None:
    """What they share is shared."""
    directory = Directory(100)
    one, other = learnt(directory, 1), learnt(directory, 2)
    directory.hear(f"tenant:{uuid.UUID(int=1)}:2")
    assert directory.find(other) is MISSING
    row = make_row(1)
    suspended = Row(replace(row.shared, is_suspended=True, tenant_version=2), row.own)
    learnt(directory, 1, suspended)
    for sha in (one, other):
        found = directory.find(sha)
        assert isinstance(found, KeyRecord) and found.is_tenant_suspended


def test_the_number_of_keys_is_bounded_and_those_in_use_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many others, and however many that do not exist, come by."""
    monkeypatch.setattr(directories, "MOST_UNKNOWN", 50)
    directory = Directory(80)
    busy = [learnt(directory, number) for number in range(10)]
    for number in range(100, 1100):
        learnt(directory, number)
        directory.learn(digest(f"unknown {number}"), None, directory.moment)
        assert all(isinstance(directory.find(sha), KeyRecord) for sha in busy)
        assert len(directory) <= 80
    assert len(directory._unknown) <= 50
    assert len(directory._ready) <= 10


def test_what_changed_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Floors go when the hand has been round; before that there are so many at most."""
    monkeypatch.setattr(directories, "MOST_FLOORS", 10)
    directory = Directory(100)
    sha = learnt(directory, 1)
    for number in range(10):
        directory.hear(f"secret:{100 + number}:2")
    assert directory.find(sha) is not MISSING
    directory.hear("secret:200:2")
    assert directory.find(sha) is MISSING  # a new epoch
    learnt(directory, 1)
    for _ in range(5):
        for number in range(10):
            directory.hear(f"secret:{300 + number}:2")
        directory.tidy()
        directory.tidy()
        assert len(directory._floors) == 0
    assert directory.find(sha) is not MISSING


def test_what_is_not_believed_any_more_is_let_go() -> None:
    """By the hand, a thousand at a time."""
    directory = Directory(10_000)
    for number in range(1500):
        learnt(directory, number)
    directory.begin_epoch()
    directory.tidy()
    assert len(directory) == 500
    directory.tidy()
    assert len(directory) == 0
    assert directory._entries._tenancies == {}


def test_nothing_is_fresh_before_its_proof_nor_long_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless an outage may be bridged."""
    now = [100.0]
    monkeypatch.setattr(directories, "monotonic", lambda: now[0])
    directory = Directory(100)
    assert not directory.is_fresh()
    directory.prove(now[0])
    now[0] += directories.BELIEVED_SECONDS - 0.01
    assert directory.is_fresh()
    now[0] += 0.02
    assert not directory.is_fresh()
    assert directory.is_fresh(grace_seconds=1)


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


class Interleaving(RuleBasedStateMachine):
    """Changes, announcements and reads in any order, on three keys of two tenants.

    The directory must never tell a state older than the one it heard of last, and in the end it
    tells the newest. The records that it is given carry the serial numbers of their states.
    """

    TENANT_OF = {1: 1, 2: 1, 3: 2}

    @initialize(most_keys=st.sampled_from([1, 2, 16]))
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

    @rule(number=st.sampled_from([1, 2, 3]))
    def begin_read(self, number: int) -> None:
        """Of one key."""
        self.reads.append(Read(number, self.directory.moment))

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
            assert found == (row.record() if row else None)

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
        )
        shared = replace(
            row.shared,
            name=str(tenant.serial),
            tenant_version=tenant.version,
            slug=str(contract.serial),
            contract_version=contract.version,
            sports=SPORTS,
        )
        learnt = Row(shared, row.own) if secret.is_there else None
        self.directory.learn(digest(f"secret {read.number}"), learnt, read.begun)
        return learnt


def _announced_as(part: str) -> str:
    kind, number = part[:-1], int(part[-1])
    offset = 1000 if kind == "key" else 0
    return f"{kind}:{number if kind == 'secret' else uuid.UUID(int=offset + number)}"


TestInterleaving = Interleaving.TestCase
TestInterleaving.settings = settings(deadline=None, max_examples=150, stateful_step_count=60)
