"""The same content as frames: a snapshot, then what changes, second by second."""

import asyncio
import datetime as dt
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

from apikeys.edge.tenant import Tenant
from examples.feed.cast import Entry
from examples.feed.matches import ROUND_SECONDS, find, live
from examples.feed.offers import markets, moved, settled
from examples.feed.pages import on_sale

ALIVE_SECONDS = 10
SCOREBOARD_SECONDS = 2
MOST_MISSED = 5  # seconds that are made up for when a client reads slowly; then they are left out

Message = dict[str, Any]
Clock = Callable[[], float]


class Frame(NamedTuple):
    """What happened, the scope that lets a key see it, and of a market its type."""

    kind: str
    data: Entry
    scope: str = ""
    market: str = ""


class Stream:
    """One client's: opened by the guard, left by the client or closed by the guard."""

    def __init__(
        self, tenant: Tenant, match_id: str | None, clock: Clock, send: Callable[[Any], Any]
    ) -> None:
        """match_id: of the match that alone is told about. clock: Unix time of the feed."""
        self._tenant = tenant
        self._match_id = match_id
        self._clock = clock
        self._send = send
        self._seq = 0

    async def run(self, pace: float, receive: Callable[[], Awaitable[Message]]) -> None:
        """Until the client has gone. pace: seconds of the feed's clock in a real one."""
        leaving = asyncio.ensure_future(_left(receive))
        try:
            second = int(self._clock())
            await self._tell(self._snapshot(second))
            while not leaving.done():
                await asyncio.wait({leaving}, timeout=(second + 1 - self._clock()) / pace)
                latest = int(self._clock())
                for each in range(max(second + 1, latest - MOST_MISSED), latest + 1):
                    await self._tell_all(each)
                second = latest
        except OSError:  # the WebSocket is closed
            return
        finally:
            leaving.cancel()
            with suppress(asyncio.CancelledError):
                await leaving

    async def _tell_all(self, second: int) -> None:
        for frame in frames(second):
            if self._may_see(frame):
                await self._tell(frame)
        if second % ALIVE_SECONDS == 0:
            await self._tell(Frame("alive", {}))

    async def _tell(self, frame: Frame) -> None:
        self._seq += 1
        ts = dt.datetime.fromtimestamp(self._clock(), dt.UTC).isoformat(timespec="milliseconds")
        whole = {"type": frame.kind, "data": frame.data, "meta": {"ts": ts, "seq": self._seq}}
        text = json.dumps(whole, ensure_ascii=False, separators=(",", ":"))
        await self._send({"type": "websocket.send", "text": text})

    def _may_see(self, frame: Frame) -> bool:
        """By the key's scopes and the tenant's switches as they are now."""
        if self._match_id not in (None, frame.data.get("match_id")):
            return False
        if frame.scope not in self._tenant.scopes:
            return False
        return not frame.market or self._tenant.market_enabled(frame.market)

    def _snapshot(self, second: int) -> Frame:
        scopes = self._tenant.scopes
        matches = [match for match in live(second) if self._match_id in (None, match.id)]
        if self._match_id and not matches and (found := find(self._match_id, second)):
            matches = [found]
        data: Entry = {}
        if "cs2:stream:matches" in scopes:
            data["matches"] = [match.as_listed() for match in matches]
        if "cs2:stream:markets" in scopes:
            offered = [each for match in matches for each in markets(match)]
            data["markets"] = on_sale(self._tenant, offered)
        if "cs2:stream:scoreboard" in scopes:
            boards = [match.scoreboard() for match in matches if match.state == "live"]
            data["scoreboards"] = boards
        return Frame("snapshot", data)


@lru_cache(maxsize=2 * MOST_MISSED)
def frames(second: int) -> list[Frame]:
    """What is told in that second, made once for all clients."""
    found: list[Frame] = []
    for match in live(second):
        elapsed = second - match.began
        if elapsed and elapsed % ROUND_SECONDS == 0:
            index = elapsed // ROUND_SECONDS - 1
            listed = {"match_id": match.id, **match.as_listed()}
            found.append(Frame("round.ended", match.round_ended(index), "cs2:stream:matches"))
            found.append(Frame("match.updated", listed, "cs2:stream:matches"))
            found += [
                Frame("bet_settlement.created", each, "cs2:stream:markets")
                for each in settled(match, index)
            ]
        if second % SCOREBOARD_SECONDS == 0:
            found.append(Frame("scoreboard.frame", match.scoreboard(), "cs2:stream:scoreboard"))
        found += [
            Frame("market.updated", each, "cs2:stream:markets", each["type"])
            for each in moved(match)
        ]
    return found


async def _left(receive: Callable[[], Awaitable[Message]]) -> None:
    """Returns when the client has gone; what it says is passed over."""
    while (await receive())["type"] != "websocket.disconnect":
        pass
