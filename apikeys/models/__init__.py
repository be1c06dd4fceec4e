"""With what: contracts, API keys and their secrets, and when each was last used."""

from apikeys.models.contracts import Contract
from apikeys.models.keys import ApiKey, ApiKeySecret, KeyUse

__all__ = ["ApiKey", "ApiKeySecret", "Contract", "KeyUse"]
