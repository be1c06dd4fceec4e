"""AMQP on a real broker: what is provisioned lets a tenant read its feed, and nothing else."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from django.test import Client
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, ChannelClosedByBroker

from accounts.models import Tenant, User
from apikeys.amqp import names, steps
from apikeys.amqp.acts import access_of
from apikeys.amqp.broker import Broker, BrokerRefused, broker
from tests.amqp import FEED, channel, connect, elsewhere, new_password, provision
from tests.conftest import signed_in
from tests.rabbit import Rabbit, rabbit, rabbit_server

__all__ = ["rabbit", "rabbit_server"]  # pytest finds the fixtures here
pytestmark = pytest.mark.service


@pytest.fixture
def staff(sam: User) -> Client:
    """The panel, seen by staff with a second factor."""
    return signed_in(sam, has_second_factor=True)


@pytest.fixture
def uri(rabbit: Rabbit, staff: Client, acme: Tenant) -> str:
    """Where Acme's programs go, with their password in it."""
    return provision(staff, acme)["uri"]


def own_queue(opened: BlockingChannel, **given: Any) -> str:
    """A queue that the broker names."""
    return str(opened.queue_declare("", **given).method.queue)


def plain(rabbit: Rabbit, uri: str) -> str:
    """The same place without TLS."""
    return uri.replace("amqps:", "amqp:").replace(f":{rabbit.amqps}/", f":{rabbit.amqp}/")


@pytest.mark.parametrize("way", [lambda rabbit, uri: uri, plain])
def test_with_what_was_issued_a_program_reads_its_feed(
    rabbit: Rabbit, uri: str, way: Callable[[Rabbit, str], str]
) -> None:
    """It declares a queue, binds it, and receives what the feed publishes."""
    assert uri.startswith("amqps://op-acme:") and uri.endswith(f"@localhost:{rabbit.amqps}/acme")
    with channel(rabbit, way(rabbit, uri)) as opened:
        queue = own_queue(opened, exclusive=True)
        opened.queue_bind(queue, FEED, "cs2.#")
        assert rabbit.publish("acme", "cs2.matches.1", {"score": "16:14"})
        assert not rabbit.publish("acme", "dota2.matches.1", {})
        _, _, body = next(opened.consume(queue, auto_ack=True, inactivity_timeout=10))
        assert body == b'{"score": "16:14"}'


def test_a_queue_that_lasts_gathers_while_nobody_is_there(rabbit: Rabbit, uri: str) -> None:
    """Its name is the program's to keep."""
    with channel(rabbit, uri) as opened:
        queue = own_queue(opened, durable=True)
        opened.queue_bind(queue, FEED, "#")
    assert rabbit.publish("acme", "cs2.matches.1", {"missed": False})
    with channel(rabbit, uri) as opened:
        assert opened.queue_declare(queue, passive=True).method.message_count == 1
        _, _, body = opened.basic_get(queue, auto_ack=True)
        assert body == b'{"missed": false}'
        opened.queue_delete(queue)


def publish(opened: BlockingChannel, exchange: str, key: str = "cs2.matches.1") -> None:
    """Wait until the broker has taken it, or refused."""
    opened.confirm_delivery()
    opened.basic_publish(exchange, key, b"forged")


FORBIDDEN: dict[str, Callable[[BlockingChannel], Any]] = {
    "publish to the feed": lambda c: publish(c, FEED),
    "publish by the default exchange": lambda c: publish(c, "", own_queue(c)),
    "publish to a built-in exchange": lambda c: publish(c, "amq.topic"),
    "publish to a trace": lambda c: publish(c, "amq.rabbitmq.trace"),
    "make an exchange": lambda c: c.exchange_declare("op-acme.own"),
    "make an exchange under a queue's name": lambda c: c.exchange_declare("amq.gen-own"),
    "make the feed anew": lambda c: c.exchange_declare(FEED, "topic", durable=True),
    "remove the feed": lambda c: c.exchange_delete(FEED),
    "bind the feed elsewhere": lambda c: c.exchange_bind("amq.topic", FEED, "#"),
    "read another exchange": lambda c: c.queue_bind(own_queue(c), "amq.topic", "#"),
    "name a queue": lambda c: c.queue_declare("prices"),
    "name a queue as the broker would": lambda c: c.queue_declare("amq.gen-prices"),
    "name a queue after the feed": lambda c: c.queue_declare(FEED),
    "publish by dead letters": lambda c: own_queue(
        c, arguments={"x-dead-letter-exchange": FEED, "x-message-ttl": 1}
    ),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_else_can_be_done_with_it(rabbit: Rabbit, uri: str, what: str) -> None:
    with channel(rabbit, uri) as opened:
        with pytest.raises(ChannelClosedByBroker) as refused:
            FORBIDDEN[what](opened)
        assert refused.value.reply_code == 403
        assert refused.value.reply_text.startswith("ACCESS_REFUSED")


def test_another_tenants_virtual_host_and_the_brokers_own_are_closed(
    rabbit: Rabbit, staff: Client, globex: Tenant, uri: str
) -> None:
    provision(staff, globex)
    for vhost in ("globex", "%2F", "nowhere"):
        with pytest.raises(AMQPError, match=r"NOT_ALLOWED"):
            connect(rabbit, elsewhere(uri, vhost=vhost))
    with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
        connect(rabbit, elsewhere(uri, user="op-globex", vhost="globex"))


def test_rights_that_the_user_had_elsewhere_are_taken_away(
    rabbit: Rabbit, staff: Client, acme: Tenant
) -> None:
    """A user of that name was there before, made by hand."""
    rabbit.ask("PUT", "users/op-acme", {"password": "made by hand", "tags": "administrator"})
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    rabbit.ask("PUT", "permissions/%2F/op-acme", everything)
    uri = provision(staff, acme)["uri"]
    with pytest.raises(AMQPError):
        connect(rabbit, elsewhere(uri, vhost="%2F"))
    (user,) = [user for user in rabbit.ask("GET", "users") if user["name"] == "op-acme"]
    assert user["tags"] == []


def test_the_management_api_is_not_for_tenants(rabbit: Rabbit, staff: Client, acme: Tenant) -> None:
    password = provision(staff, acme)["password"]
    asked = Broker(f"http://op-acme:{password}@127.0.0.1:{rabbit.management}", seconds=5)
    with pytest.raises(BrokerRefused) as refused:
        asked.get("whoami")
    assert refused.value.status == 401
    asked.close()


def test_the_eleventh_connection_is_refused(rabbit: Rabbit, uri: str) -> None:
    """The feed's own connections do not count."""
    with ExitStack() as stack:
        for _ in range(names.MOST_CONNECTIONS):
            stack.callback(connect(rabbit, uri).close)
        with pytest.raises(AMQPError, match=r"connection limit \(10\) is reached"):
            connect(rabbit, uri)
        rabbit.publish("acme", "cs2.matches.1", {})


def test_the_201st_channel_is_refused(rabbit: Rabbit, uri: str) -> None:
    with channel(rabbit, uri) as first:
        for _ in range(names.MOST_CHANNELS - 1):
            first.connection.channel()
        with pytest.raises(AMQPError, match=r"user limit of \(200\)"):
            first.connection.channel()


def test_the_eleventh_queue_is_refused(rabbit: Rabbit, uri: str) -> None:
    with channel(rabbit, uri) as opened:
        for _ in range(names.MOST_QUEUES):
            own_queue(opened, exclusive=True)
        with pytest.raises(ChannelClosedByBroker, match=r"queue limit in vhost 'acme' \(10\)"):
            own_queue(opened, exclusive=True)


def test_after_a_new_password_the_old_one_is_dead_and_what_it_had_opened_is_closed(
    rabbit: Rabbit, staff: Client, acme: Tenant, uri: str
) -> None:
    with ExitStack() as stack:
        before = connect(rabbit, uri)
        stack.callback(lambda: before.is_open and before.close())
        after = new_password(staff, acme)
        assert after["uri"] != uri
        with pytest.raises(AMQPError, match="CONNECTION_FORCED"):
            before.process_data_events(10)
        with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
            connect(rabbit, uri)
        connect(rabbit, after["uri"]).close()


@pytest.mark.parametrize("password", ["a/b@c:d", "100% sure?", "#&=+;,", "пароль ✓", "%2F", '"\\'])
def test_an_address_holds_a_password_of_any_characters(
    rabbit: Rabbit, staff: Client, acme: Tenant, password: str
) -> None:
    """Ours hold letters, digits, - and _ alone; nothing relies on that."""
    provision(staff, acme)
    access = access_of(acme)
    with broker() as asked:
        steps.set_password(asked, access, password)
    connect(rabbit, names.amqp_uri(access, password)).close()
    with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
        connect(rabbit, names.amqp_uri(access, f"{password} "))
