"""What a tenant has on the broker: its bounds, and how programs write the way there."""

from urllib.parse import quote

from django.conf import settings

from apikeys.models import AmqpAccess

EXCHANGE = "ttfeed"
MOST_CONNECTIONS = 10
MOST_CHANNELS = 200
MOST_QUEUES = 10
# Queues that the broker names itself. No other name will do: RabbitMQ asks one pattern for queues
# and exchanges alike, and whoever may name a queue may make an exchange of that name and publish
# to it. Exchanges whose names begin with `amq.` it lets nobody make.
OWN_QUEUES = r"^amq\.gen-.*$"
OWN_QUEUES_AND_FEED = rf"^(amq\.gen-.*|{EXCHANGE})$"


PLACE = "$TT_AMQP_PASSWORD"  # stands in an address for the password, which is nowhere


def amqp_uri(access: AmqpAccess, password: str = "") -> str:
    """`amqps://…`, everything in it percent-encoded; without a password, PLACE as it is."""
    return _uri("amqps", access, settings.AMQP_TLS_PORT, password)


def plain_amqp_uri(access: AmqpAccess) -> str:
    """`amqp://…`, without TLS: for networks that end it elsewhere."""
    return _uri("amqp", access, settings.AMQP_PORT, "")


def _uri(scheme: str, access: AmqpAccess, port: int, password: str) -> str:
    word = quote(password, safe="") or PLACE
    account = f"{quote(access.username, safe='')}:{word}"
    return f"{scheme}://{account}@{settings.AMQP_HOST}:{port}/{quote(access.vhost, safe='')}"
