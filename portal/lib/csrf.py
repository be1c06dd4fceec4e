"""The token of forms, as Django's middleware reads it, at a fifth of the price of its own.

Every page has a form, if only **Sign out**. Django draws the mask of a token letter by letter, 32
times from the operating system, which is more work than the rest of a small page; here it is drawn
at once. The cookie, and every check of a token, are Django's.
"""

import os

from django.http import HttpRequest
from django.middleware.csrf import CSRF_ALLOWED_CHARS, get_token

_PLACES = {letter: place for place, letter in enumerate(CSRF_ALLOWED_CHARS)}
_LETTERS = len(CSRF_ALLOWED_CHARS)
_MOST = 256 // _LETTERS * _LETTERS  # bytes from here on would favour the first letters


def token_of(request: HttpRequest) -> str:
    """For `{% csrf_token %}`. Whoever has no cookie yet is given one, and Django's own token."""
    secret = request.META.get("CSRF_COOKIE")
    if secret is None:
        return get_token(request)
    request.META["CSRF_COOKIE_NEEDS_UPDATE"] = True
    mask = _drawn(len(secret))
    return mask + "".join(
        CSRF_ALLOWED_CHARS[(_PLACES[a] + _PLACES[b]) % _LETTERS]
        for a, b in zip(secret, mask, strict=True)
    )


def _drawn(length: int) -> str:
    """Letters, each as likely as the other."""
    letters = ""
    while len(letters) < length:
        letters += "".join(
            [CSRF_ALLOWED_CHARS[byte % _LETTERS] for byte in os.urandom(2 * length) if byte < _MOST]
        )
    return letters[:length]
