"""The open WebSockets of this process: how many each tenant holds, and when they must end.

Every call is judged anew; a WebSocket was judged once, when it was opened. So whatever is announced
about its key, its tenant or its markets has it judged again, and so has a listener that was lost.
While announcements cannot be believed to arrive, all are held against Postgres several times a
second; and when that cannot be asked either, they are closed before the second is over.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from apikeys.edge.database import DatabaseAway
from apikeys.edge.directory import BELIEVED_SECONDS, MISSING
from apikeys.edge.floors import Part
from apikeys.edge.markets import Markets, Switched, UnknownTenant
from apikeys.edge.places import Places
from apikeys.edge.store import Store
from apikeys.refusals import ALLOWED, KEY_INVALID, UNAVAILABLE, Verdict
from apikeys.verdict import Call, KeyRecord, refuse_uncounted

TICK_SECONDS = 0.05  # between two looks whether announcements still arrive
REPEAT_SECONDS = 0.3  # between two questions about the same while they do not
SURE_SECONDS = 0.7  # after the last certainty: then it is closed, and has time to be told
AT_ONCE = 200  # judged in one go, before others get their turn

DEAD = 4403  # the key opens it no more; the reason is the code that a call would be refused with
UNSURE = 1013  # "try again later": nobody can say whether the key still opens it
LEAVING = 1001  # this process ends

# What a WebSocket depends on; announcements of other kinds concern none.
_KINDS = frozenset({"tenant", "contract", "markets", "catalogue", "key", "secret"})

_log = logging.getLogger(__name__)


class End(NamedTuple):
    """How a WebSocket is closed: code and reason; and if it is not open yet, by which verdict."""

    code: int
    reason: str
    verdict: Verdict = UNAVAILABLE


class Stream:
    """An open WebSocket: by which call it was opened, and what is known of its key since."""

    def __init__(self, call: Call, record: KeyRecord, switched: Switched) -> None:
        self.id = uuid.uuid4()
        self.call = call
        self.record = record
        self.switched = switched
        self.ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self.sure_at = monotonic()  # when it was certain for the last time that it may stay open
        self.is_doubted = False
        tenant_id = record.tenant_id.bytes
        # The rows that it depends on. Another row never takes the place of one of them.
        self.parts: tuple[Part, ...] = (
            ("tenant", tenant_id),
            ("contract", tenant_id),
            ("markets", tenant_id),
            ("catalogue", 1),
            ("key", record.key),
            ("secret", record.secret_id),
        )

    def end(self, code: int, reason: str) -> None:
        """Have it closed; the first reason stands."""
        self._end(End(code, reason))

    def end_by(self, verdict: Verdict) -> None:
        """The same, because its key opens it no more."""
        self._end(End(DEAD, verdict.code, verdict))

    def _end(self, how: End) -> None:
        if not self.ended.done():
            self.ended.set_result(how)


class Streams:
    """All that are open in this process."""

    def __init__(
        self,
        store: Store,
        markets: Markets,
        is_fresh: Callable[[float], bool],
        places: Places | None = None,
    ) -> None:
        """is_fresh: the directory's. places: counted by all processes together, if there are."""
        self._store = store
        self._markets = markets
        self._is_fresh = is_fresh
        self._places = places
        self._open: dict[Stream, None] = {}
        self._by_part: dict[Part, set[Stream]] = {}
        self._doubted: set[Stream] = set()
        self._woken = asyncio.Event()
        self._was_fresh = False
        self._supervising: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many are open in this process."""
        return len(self._open)

    async def admit(self, call: Call, record: KeyRecord, switched: Switched) -> Stream | None:
        """Note one that was let in; None where its tenant holds as many as its contract allows.

        A contract that allows fewer from now on closes none of those that are open.
        """
        tenant: Part = ("tenant", record.tenant_id.bytes)
        if len(self._by_part.get(tenant, ())) >= record.max_streams:
            return None
        stream = Stream(call, record, switched)
        self._add(stream)
        # What was announced since the verdict did not concern it yet.
        self._doubt([stream])
        has_place = False
        try:
            has_place = self._places is None or await self._places.take(
                record.tenant_id, stream.id, record.max_streams
            )
        finally:
            if not has_place:
                self._remove(stream)
        return stream if has_place else None

    async def leave(self, stream: Stream) -> None:
        """It is closed."""
        self._remove(stream)
        if self._places:
            await self._places.leave(stream.record.tenant_id, stream.id)

    def hear(self, payload: str) -> None:
        """An announcement. What cannot be read may mean anything, so it means everything."""
        kind, _, rest = payload.partition(":")
        name, _, _ = rest.partition(":")
        if kind.isalpha() and kind not in _KINDS:
            return
        try:
            id_ = int(name) if kind in ("secret", "catalogue") else uuid.UUID(name).bytes
        except ValueError:
            self.begin_epoch()
            return
        self._doubt(list(self._by_part.get((kind, id_), ())))

    def begin_epoch(self) -> None:
        """Announcements may have been lost: nothing is certain about any of them."""
        self._doubt(list(self._open))

    def open(self) -> None:
        """Begin to supervise, in the running event loop."""
        self._supervising = asyncio.create_task(self._supervise_for_ever())

    async def close(self) -> None:
        """Have all of them closed, and supervise no more."""
        for stream in self._open:
            stream.end(LEAVING, "the server is going away")
        if self._supervising:
            self._supervising.cancel()
            await asyncio.wait({self._supervising}, timeout=1)
        if self._places:
            await self._places.close()

    def _add(self, stream: Stream) -> None:
        self._open[stream] = None
        for part in stream.parts:
            self._by_part.setdefault(part, set()).add(stream)

    def _remove(self, stream: Stream) -> None:
        if stream not in self._open:
            return
        del self._open[stream]
        self._doubted.discard(stream)
        for part in stream.parts:
            streams = self._by_part[part]
            streams.discard(stream)
            if not streams:
                del self._by_part[part]

    def _doubt(self, streams: list[Stream]) -> None:
        """Judge them again, soon. While announcements arrive, they were certain until now."""
        is_fresh = self._is_fresh(0)
        for stream in streams:
            if is_fresh and not stream.is_doubted:
                stream.sure_at = monotonic()
            stream.is_doubted = True
        self._doubted.update(streams)
        if streams:
            self._woken.set()

    async def _supervise_for_ever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(TICK_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                pass
            self._woken.clear()
            try:
                self._mind_silence()
                await self._judge_doubted()
            except Exception:  # whatever it is, it must not end the supervision
                _log.exception("Open WebSockets could not be judged")

    def _mind_silence(self) -> None:
        """Doubt all of them while announcements may be lost."""
        if self._is_fresh(0):
            self._was_fresh = True
            return
        now = monotonic()
        if self._was_fresh:
            self._was_fresh = False
            for stream in self._open:
                if not stream.is_doubted:
                    stream.sure_at = max(stream.sure_at, now - BELIEVED_SECONDS)
        for stream in self._open:
            if now - stream.sure_at > REPEAT_SECONDS:
                stream.is_doubted = True
                self._doubted.add(stream)

    async def _judge_doubted(self) -> None:
        """By what is remembered; of the rest each key is read once, for all that it opened."""
        doubted, self._doubted = list(self._doubted), set()
        unknown: dict[str, list[Stream]] = {}
        for number, stream in enumerate(doubted, 1):
            if not self._judge_now(stream):
                unknown.setdefault(stream.call.keys[0], []).append(stream)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        await asyncio.gather(*map(self._judge, unknown.values()))

    def _judge_now(self, stream: Stream) -> bool:
        """Whether it could be judged by what is remembered."""
        record = self._store.recall(stream.call.keys[0])
        switched = self._markets.recall(stream.record.tenant_id)
        if record is MISSING or switched is None:
            return False
        stream.is_doubted = False
        self._note_key(stream, record)
        stream.switched, stream.sure_at = switched, monotonic()
        return True

    async def _judge(self, streams: list[Stream]) -> None:
        """All that were opened with one secret."""
        began_at = monotonic()
        try:
            record = await self._store.key_record(streams[0].call.keys[0])
            for stream in streams:
                self._note_key(stream, record)
            switched = await self._markets.of(streams[0].record.tenant_id)
        except UnknownTenant:
            for stream in streams:
                stream.end_by(KEY_INVALID)
        except DatabaseAway:
            for stream in streams:
                self._doubt_on(stream)
        except Exception:  # whatever it is, nobody stays in by it
            for stream in streams:
                self._doubt_on(stream)
            raise
        else:
            for stream in streams:
                stream.switched, stream.sure_at = switched, began_at
                # Until here it was in doubt, so that what is announced meanwhile makes it no surer.
                stream.is_doubted = stream in self._doubted

    def _doubt_on(self, stream: Stream) -> None:
        """Try again, or give up before the second is over."""
        stream.is_doubted = True
        if monotonic() - stream.sure_at > SURE_SECONDS:
            stream.end(UNSURE, "unavailable")
        elif stream in self._open:
            self._doubted.add(stream)

    def _note_key(self, stream: Stream, record: KeyRecord | None) -> None:
        """As the gate decides a handshake: whatever it accepts, its frames are JSON."""
        verdict = refuse_uncounted(stream.call, record) or ALLOWED
        if record is None or not verdict.is_allowed:
            stream.end_by(verdict)
        else:
            stream.record = record
