"""What a record is to a limiter."""

from dataclasses import dataclass
from typing import Any


@dataclass
class OfKey:
    """The id of a key, and the place for what the limiter keeps about it."""

    key: bytes
    log: Any = None
