"""Randomness, hashes, and the encryption of the few secrets that must be read again."""

import hashlib
import secrets
import string
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

ALPHANUMERIC = string.digits + string.ascii_uppercase + string.ascii_lowercase


def random_alphanumeric(length: int) -> str:
    """`length` characters of [0-9A-Za-z] from the system's CSPRNG: 5.95 bits each."""
    return "".join(secrets.choice(ALPHANUMERIC) for _ in range(length))


def random_token() -> str:
    """256 random bits as 43 characters that may stand in a URL."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """SHA-256 of a secret, 32 bytes: enough for secrets that are random themselves.

    Lone surrogates, which no UTF-8 has, are passed through: rubbish has a digest too.
    """
    return digest_of_bytes(secret.encode("utf-8", "surrogatepass"))


# A copy of it takes little more than half of what a new one takes, and each call needs one.
_NOTHING = hashlib.sha256()


def digest_of_bytes(secret: bytes) -> bytes:
    """The same, of a secret that has been encoded."""
    digest = _NOTHING.copy()
    digest.update(secret)
    return digest.digest()


class FieldCipher:
    """Encrypts single values for the database; the first key writes, all of them read."""

    def __init__(self, keys: Sequence[str]) -> None:
        """keys: Fernet keys, newest first. ValueError if one is not 32 bytes of base64."""
        if not keys:
            raise ValueError("at least one key is needed")
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def encrypt(self, value: bytes) -> str:
        """Ciphertext as text."""
        return self._fernet.encrypt(value).decode("ascii")

    def decrypt(self, text: str) -> bytes:
        """The value again; ValueError if it was written with none of the keys."""
        try:
            return self._fernet.decrypt(text.encode("ascii"))
        except InvalidToken:
            raise ValueError("written with a key that is not in FIELD_KEYS") from None
