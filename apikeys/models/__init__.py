"""With what: contracts, API keys and their secrets, how they are used; AMQP access."""

from apikeys.models.amqp import PROVISIONING, AmqpAccess, AmqpRequest, AmqpState, AmqpStep, Step
from apikeys.models.contracts import Contract
from apikeys.models.keys import ApiKey, ApiKeySecret, KeyUse, LastUse
from apikeys.models.propagation import (
    Acknowledgement,
    Announcement,
    Canary,
    DoorProcess,
    PropagationRun,
)
from apikeys.models.usage import (
    CountedHour,
    KeyCalls,
    KeyNotice,
    KeyRefusal,
    Period,
    SecretUse,
    Threshold,
    UsageWriter,
    WaitingUse,
)

__all__ = [
    "PROVISIONING",
    "Acknowledgement",
    "AmqpAccess",
    "AmqpRequest",
    "AmqpState",
    "AmqpStep",
    "Announcement",
    "ApiKey",
    "ApiKeySecret",
    "Canary",
    "Contract",
    "CountedHour",
    "DoorProcess",
    "KeyCalls",
    "KeyNotice",
    "KeyRefusal",
    "KeyUse",
    "LastUse",
    "Period",
    "PropagationRun",
    "SecretUse",
    "Step",
    "Threshold",
    "UsageWriter",
    "WaitingUse",
]
