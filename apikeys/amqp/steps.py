"""What is done on the broker, as acts that may be repeated: each says how it should be."""

from collections.abc import Callable

from apikeys.amqp import names
from apikeys.amqp.broker import Broker, password_hash
from apikeys.models import AmqpAccess, Step

EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}


def make_vhost(broker: Broker, access: AmqpAccess) -> None:
    """The tenant's own virtual host, in which the portal may make the exchange."""
    broker.put("vhosts", access.vhost, body={})
    broker.put("permissions", access.vhost, broker.user, body=EVERYTHING)


def make_exchange(broker: Broker, access: AmqpAccess) -> None:
    """Where the feed arrives."""
    body = {"type": "topic", "durable": True, "auto_delete": False, "internal": False}
    broker.put("exchanges", access.vhost, names.EXCHANGE, body=body)


def make_user(broker: Broker, access: AmqpAccess) -> None:
    """The one user, who cannot sign in: there is no password to sign in with yet."""
    broker.put("users", access.username, body={"password_hash": "", "tags": ""})


def set_permissions(broker: Broker, access: AmqpAccess) -> None:
    """Its own queues, and reading the feed: no publishing, no exchange, no other virtual host."""
    for found in broker.get("users", access.username, "permissions"):
        if found["vhost"] != access.vhost:
            broker.delete("permissions", found["vhost"], access.username)
    allowed = {
        "configure": names.OWN_QUEUES,
        "write": names.OWN_QUEUES,
        "read": names.OWN_QUEUES_AND_FEED,
    }
    broker.put("permissions", access.vhost, access.username, body=allowed)


def set_limits(broker: Broker, access: AmqpAccess) -> None:
    """Connections and channels are counted for the user, so that the feed's own do not count."""
    _limit_connections(broker, access, names.MOST_CONNECTIONS)
    broker.put("user-limits", access.username, "max-channels", body={"value": names.MOST_CHANNELS})
    broker.put("vhost-limits", access.vhost, "max-queues", body={"value": names.MOST_QUEUES})


def set_password(broker: Broker, access: AmqpAccess, password: str) -> None:
    """The broker is given its hash, and keeps that."""
    broker.put(
        "users",
        access.username,
        body={
            "password_hash": password_hash(password),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": "",
        },
    )


def shut(broker: Broker, access: AmqpAccess) -> None:
    """No new connection, and then none of the open ones."""
    _limit_connections(broker, access, 0)
    close_connections(broker, access)


def open_again(broker: Broker, access: AmqpAccess) -> None:
    """As many connections as before."""
    _limit_connections(broker, access, names.MOST_CONNECTIONS)


def close_connections(broker: Broker, access: AmqpAccess) -> None:
    """All that the user has open."""
    broker.delete("connections", "username", access.username)


def remove(broker: Broker, access: AmqpAccess) -> None:
    """Nothing is left. First whoever is connected is cut off, since queues go with the rest."""
    close_connections(broker, access)
    broker.delete("users", access.username)
    broker.delete("vhosts", access.vhost)


def _limit_connections(broker: Broker, access: AmqpAccess, most: int) -> None:
    broker.put("user-limits", access.username, "max-connections", body={"value": most})


BEFORE_THE_PASSWORD: dict[Step, Callable[[Broker, AmqpAccess], None]] = {
    Step.VHOST: make_vhost,
    Step.EXCHANGE: make_exchange,
    Step.USER: make_user,
    Step.PERMISSIONS: set_permissions,
    Step.LIMITS: set_limits,
}
