"""What is kept of a refused call until it is written: no more than somebody will read of it."""

import pytest

from accounts.models import Tenant
from apikeys.edge.tallies import LONGEST_METHOD, LONGEST_PATH
from apikeys.edge.usage import Usage
from apikeys.models import KeyRefusal
from apikeys.refusals import NOT_FOUND
from apikeys.verdict import Call
from tests.conftest import MakeKey
from tests.usage import OFFICE, counting, record

SECRET = b"vbk_" + b"aB3" * 8
LONG = 400_000  # as much as a server takes


@pytest.fixture
def acme(committed_db: None, acme: Tenant) -> Tenant:
    """Acme, committed: what is counted is written over a connection of its own."""
    return acme


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        (b"/v1/" + b"x" * LONG, "/v1/" + "x" * 196),
        (b"/v1/" + b"%41" * (LONG // 3), "/v1/" + "%41" * 65 + "%"),
        (b"/v1" + (b"/" + SECRET) * (LONG // 29), ("/v1" + "/vbk_[redacted]" * 15)[:200]),
        (b"/v1/" + b"x" * 182 + SECRET + b"/" * LONG, "/v1/" + "x" * 182 + "vbk_[redacted]"),
        (b"/v1/" + b"%76bk_" + b"aB3" * 8 + b"/" * LONG, "/v1/vbk_[redacted]" + "/" * 182),
    ],
)
def test_a_long_path_is_cut_and_no_key_is_left_in_it(
    acme: Tenant, make_key: MakeKey, path: bytes, kept: str
) -> None:
    """In memory at once; then less of it is written. A method may be as long."""
    key, _ = make_key(acme)
    known = record(key)

    async def work(counts: Usage) -> None:
        call = Call(keys=["vbk_"], address=OFFICE, method="M" * LONG, path=path)
        counts.note(call, known, NOT_FOUND)
        (refusal,) = (counts._minute.tallies[key.pk.bytes].refusals or {}).values()
        assert len(refusal.path) <= LONGEST_PATH
        assert len(refusal.method) <= LONGEST_METHOD

    counting(work)
    assert KeyRefusal.objects.get().path == kept
