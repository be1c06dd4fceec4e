"""What is to be seen on the broker: connections, channels, and each queue."""

import datetime as dt
import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from apikeys.amqp.broker import Broker, BrokerAway, BrokerRefused, broker
from apikeys.models import AmqpAccess
from portal.lib import clock

PAGE_SECONDS = 1.5  # a page waits no longer for the broker, and shows what was seen before
LET_BE_SECONDS = 10  # for so long pages do not ask again one that was away: their threads are few

_away_until: dict[str, float] = {}  # the broker's address → a moment of time.monotonic


@dataclass(frozen=True)
class Sight:
    """What was seen: {"connections", "channels", "queues"} (see AmqpAccess.seen), when, and
    whether that is now."""

    seen: dict[str, Any]
    at: dt.datetime
    is_live: bool


def look(access: AmqpAccess) -> Sight | None:
    """From the broker when it answers, else what the worker saw last; None if it never did."""
    address = settings.RABBITMQ_MANAGEMENT_URL
    if _away_until.get(address, 0) < time.monotonic():
        try:
            with broker(seconds=PAGE_SECONDS) as asked:
                return Sight(see(asked, access), clock.now(), True)
        except BrokerAway:
            _away_until[address] = time.monotonic() + LET_BE_SECONDS
        except BrokerRefused:
            pass  # it answers, but not of this: what was seen before is all there is
    if access.seen is None or access.seen_at is None:
        return None
    return Sight(access.seen, access.seen_at, False)


def see(asked: Broker, access: AmqpAccess) -> dict[str, Any]:
    """The tenant's part, for AmqpAccess.seen. The broker's own figures are seconds old."""
    connections = [
        found
        for found in asked.get("vhosts", access.vhost, "connections", columns="user,channels")
        if found.get("user") == access.username
    ]
    queues = asked.get("queues", access.vhost, columns="name,messages,consumers")
    return {
        "connections": len(connections),
        "channels": sum(found.get("channels") or 0 for found in connections),
        "queues": [
            {
                "name": found["name"],
                "messages": found.get("messages"),
                "consumers": found.get("consumers"),
            }
            for found in queues
        ],
    }
