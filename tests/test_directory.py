"""What a process remembers of keys: when it is believed, and that it stays small."""

import uuid
from dataclasses import astuple, replace
from time import monotonic
from typing import Any

import pytest

from apikeys.edge import directory as directories
from apikeys.edge.directory import MISSING, Directory
from apikeys.edge.held import Held
from apikeys.edge.rows import Own, Row, Shared
from apikeys.verdict import KeyRecord
from portal.lib.crypto import digest


def make_row(number: int = 1, *, tenant: int = 1, **own: Any) -> Row:
    """A key of a tenant, as it is read for the first time."""
    shared = Shared(
        uuid.UUID(int=tenant), "acme", "Acme", False, 1, ("cs2:matches:list",), ("cs2",), 600, 50, 1
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
    key = Own(key=(1000 + number).to_bytes(16), secret_id=number, **{**first, **own})
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
    found = directory.find(sha)
    assert isinstance(found, Held) and astuple(found) == astuple(row.record())
    assert directory.find(sha) is found
    revoked = make_row(2, is_key_revoked=True, key_version=7, secret_version=8)
    found = directory.find(learnt(directory, 2, revoked))
    assert isinstance(found, Held) and astuple(found) == astuple(revoked.record())


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


@pytest.mark.parametrize(
    "payload",
    [f"contract:{uuid.UUID(int=2)}:2", f"key:{uuid.UUID(int=1002)}:2", "secret:2:2", "market:7:3"],
)
def test_what_is_announced_of_others_leaves_a_record_as_it_is(payload: str) -> None:
    """With all that is kept about its key: its next call goes the short way."""
    directory = Directory(100)
    directory.prove(monotonic())
    sha = learnt(directory, 1)
    record = directory.find(sha)
    directory.hear(payload)
    assert directory.ready(sha) is record
    learnt(directory, 2, make_row(2, key_version=2, secret_version=2))
    assert directory.ready(sha) is record
    directory.hear(f"key:{uuid.UUID(int=1001)}:2")
    assert directory.ready(sha) is None


def test_one_read_tells_about_a_tenant_for_all_its_keys() -> None:
    """What they share is shared."""
    directory = Directory(100)
    one, other = learnt(directory, 1), learnt(directory, 2)
    assert isinstance(directory.find(one), Held) and isinstance(directory.find(other), Held)
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


def test_keys_with_long_allowlists_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is bounded is memory; the number is that of keys as most are."""
    monkeypatch.setattr(directories, "LEAST_BYTES", 0)
    directory = Directory(400)
    for number in range(400):
        learnt(directory, number)
    assert len(directory) == 400
    long = ",".join(f"192.0.2.{number}/32" for number in range(100))
    for number in range(400):
        learnt(directory, number, make_row(number, key_version=2, networks=long))
        assert isinstance(directory.find(digest(f"secret {number}")), KeyRecord)
        held = [directory._entries.row(sha).own.networks for sha in directory.held(400)]
        assert sum(map(len, held)) <= 400 * 400
    assert 50 < len(directory) < 100
    for number in range(1000, 1400):
        learnt(directory, number)
    assert len(directory) == 400
    directory.begin_epoch()
    directory.tidy()
    assert len(directory) == directory._entries.size == 0


def test_records_with_long_allowlists_are_fewer() -> None:
    """A network takes as much as a record without one."""
    directory = Directory(8 * 65)
    directory.prove(monotonic())
    plain = [learnt(directory, number) for number in range(65)]
    assert all(directory.find(sha) for sha in plain) and all(map(directory.ready, plain))
    four = "192.0.2.0/24,198.51.100.0/24,203.0.113.0/24,2001:db8::/32"
    others = [learnt(directory, number, make_row(number, networks=four)) for number in range(200)]
    for sha in others * 2:
        assert directory.find(sha) is not MISSING
    assert [sha for sha in others if directory.ready(sha)] == others[-16:]


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
