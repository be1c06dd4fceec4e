"""With what: contracts, API keys and their secrets, and when each was last used; AMQP access."""

from apikeys.models.amqp import PROVISIONING, AmqpAccess, AmqpRequest, AmqpState, AmqpStep, Step
from apikeys.models.contracts import Contract
from apikeys.models.keys import ApiKey, ApiKeySecret, KeyUse

__all__ = [
    "PROVISIONING",
    "AmqpAccess",
    "AmqpRequest",
    "AmqpState",
    "AmqpStep",
    "ApiKey",
    "ApiKeySecret",
    "Contract",
    "KeyUse",
    "Step",
]
