"""What the worker does about AMQP, every minute."""

import logging

from django.db.models import Q

from apikeys.amqp.acts import keep_in_step
from apikeys.amqp.broker import Broker, BrokerAway, BrokerRefused, broker, is_configured
from apikeys.amqp.sight import see
from apikeys.models import AmqpAccess
from portal.lib import clock

logger = logging.getLogger(__name__)


def look_after_amqp() -> None:
    """Bring to the broker what is not there yet, and remember what is to be seen on it."""
    if not is_configured():
        return
    try:
        with broker() as asked:
            asked.get("whoami")  # one that is away is waited for once, and not for each tenant
            _keep_all_in_step()
            _remember(asked)
    except (BrokerAway, BrokerRefused) as error:
        logger.warning("RabbitMQ's management API: %s", error)


def _keep_all_in_step() -> None:
    """Suspended ones each time: a connection may have been made while they were being closed."""
    decided = Q(provisioned_at__isnull=False) | Q(removal_asked_at__isnull=False)
    for access in AmqpAccess.objects.filter(decided).select_related("tenant"):
        if access.wants_shut or not access.is_in_step:
            keep_in_step(access.tenant)


def _remember(asked: Broker) -> None:
    for access in AmqpAccess.objects.exclude(provisioned_at=None).select_related("tenant"):
        try:
            seen = see(asked, access)
        except BrokerRefused as refused:
            logger.warning("RabbitMQ on %s: %s", access.vhost, refused)
            continue
        AmqpAccess.objects.filter(tenant=access.tenant).update(seen=seen, seen_at=clock.now())
