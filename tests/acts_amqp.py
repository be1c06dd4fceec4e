"""What is done about AMQP and leaves a record: see tests.acts."""

from collections.abc import Callable
from typing import Any

from accounts.models import Action
from apikeys.models import AmqpAccess
from portal.lib import clock
from tests.acts import Act
from tests.stage import Send, Stage

# The steps before it are committed one by one; the act is that a password was issued.
ISSUED = "^apikeys_amqpaccess"
PROVISIONED = {"provisioned_at": clock.now(), "password_set_at": clock.now()}


def _amqp(act: str, form: dict[str, Any] | None = None, **access: Any) -> Callable[[Stage], Send]:
    def ready(stage: Stage) -> Send:
        AmqpAccess.objects.create(tenant=stage.acme, **access)
        return stage.post(stage.sam, f"/staff/apikeys/amqpaccess/{stage.acme.pk}/{act}", form)

    return ready


def _new_amqp_password(stage: Stage) -> Send:
    _amqp("provision")(stage)()
    return stage.post(stage.sam, f"/staff/apikeys/amqpaccess/{stage.acme.pk}/new-password")


ACTS = {
    "ask for AMQP": Act(
        lambda s: s.post(s.dave, "/client/delivery/ask-for-amqp"),
        [(Action.AMQP_REQUESTED, "Dave", "acme", "Acme Sportsbook")],
    ),
    "provision AMQP": Act(
        _amqp("provision"),
        [(Action.AMQP_PROVISIONED, "Sam", "acme", "Acme Sportsbook")],
        ISSUED,
        needs_broker=True,
    ),
    "set a new AMQP password": Act(
        _new_amqp_password,
        [(Action.AMQP_PASSWORD_SET, "Sam", "acme", "Acme Sportsbook")],
        ISSUED,
        needs_broker=True,
    ),
    "suspend AMQP": Act(
        _amqp("suspend", **PROVISIONED),
        [(Action.AMQP_SUSPENDED, "Sam", "acme", "Acme Sportsbook")],
    ),
    "reactivate AMQP": Act(
        _amqp("reactivate", suspended_at=clock.now(), **PROVISIONED),
        [(Action.AMQP_REACTIVATED, "Sam", "acme", "Acme Sportsbook")],
    ),
    "remove AMQP": Act(
        _amqp("remove", {"reason": "contract ended"}, **PROVISIONED),
        [(Action.AMQP_REMOVED, "Sam", "acme", "Acme Sportsbook")],
    ),
}
