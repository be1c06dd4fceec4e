"""Staff's acts on AMQP through the panel, and programs of a tenant with what they were given."""

import logging
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from typing import Any

import pika
from django.test import Client
from pika.adapters.blocking_connection import BlockingChannel

from accounts.models import Tenant
from tests.rabbit import Rabbit

FEED = "ttfeed"
# What a refused client says of itself is what these tests are about, and no news.
logging.getLogger("pika").setLevel(logging.CRITICAL)


def address(tenant: Tenant, act: str = "change/") -> str:
    """Of the tenant's access in the panel."""
    return f"/staff/apikeys/amqpaccess/{tenant.pk}/{act}"


def shown(answer: Any) -> dict[str, str]:
    """What the page with the password says, as somebody copies it: the password and the address."""
    assert answer.status_code == 200, (answer.status_code, answer.headers.get("Location"))
    page = answer.content.decode()
    (password,) = re.findall(r'<input id="secret" type="text" value="([^"]+)"', page)
    (uri,) = re.findall(r'<code id="uri">([^<]+)</code>', page)
    return {"password": unescape(password), "uri": unescape(uri)}


def provision(staff: Client, tenant: Tenant) -> dict[str, str]:
    """**Provision AMQP**."""
    return shown(staff.post(address(tenant, "provision")))


def new_password(staff: Client, tenant: Tenant) -> dict[str, str]:
    """**New password**."""
    return shown(staff.post(address(tenant, "new-password")))


def connect(rabbit: Rabbit, uri: str) -> pika.BlockingConnection:
    """As a program of the tenant does: by the address alone, and with our authority trusted."""
    parameters = pika.URLParameters(uri)
    if uri.startswith("amqps:"):
        context = ssl.create_default_context(cafile=str(rabbit.authority))
        parameters.ssl_options = pika.SSLOptions(context, "localhost")
    parameters.socket_timeout = parameters.stack_timeout = 10
    parameters.blocked_connection_timeout = 10
    return pika.BlockingConnection(parameters)


@contextmanager
def channel(rabbit: Rabbit, uri: str) -> Iterator[BlockingChannel]:
    """One channel of a connection of its own."""
    connection = connect(rabbit, uri)
    try:
        yield connection.channel()
    finally:
        if connection.is_open:
            connection.close()


def elsewhere(uri: str, *, vhost: str = "", user: str = "", password: str = "") -> str:
    """The address with something else in it."""
    scheme, rest = uri.split("://")
    account, _, place = rest.partition("@")
    name, _, word = account.partition(":")
    host, _, path = place.partition("/")
    return f"{scheme}://{user or name}:{password or word}@{host}/{vhost or path}"
