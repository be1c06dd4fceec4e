"""What a password may not be: common, or made of words that anybody would try here first."""

import re

from django.conf import settings
from django.contrib.auth.password_validation import CommonPasswordValidator
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from accounts.models import User

LEAST = 8
MOST = 256  # refused above it before anything is hashed

CommonPassword = CommonPasswordValidator  # its list holds the 20,000 most common ones


class ContextWords:
    """Refuses the brand, “odds”, the username, the mailbox, the tenants' names, and repetitions.

    ASVS 5.0 6.2.11. A longer password that merely contains such a word is fine.
    """

    def validate(self, password: str, user: User | None = None) -> None:
        """ValidationError naming the word, if the password is nothing but that word."""
        characters, letters = _characters(password), _letters(password)
        for word in self._words(user):
            if _repeats(word, characters) or (len(word) >= 3 and _repeats(word, letters)):
                raise ValidationError(
                    _("This is only “%(word)s”, which anybody would try first."),
                    code="password_context_word",
                    params={"word": word},
                )

    def get_help_text(self) -> str:
        """The rule in words."""
        return _("Not your name, ours, or one of the words in your e-mail address.")

    def _words(self, user: User | None) -> set[str]:
        texts = [settings.PROVIDER_NAME, "odds", "odds feed", "sportsbook", "client portal"]
        if user is not None:
            mailbox = user.email.partition("@")[0]
            texts += [user.username, user.name, user.email, mailbox]
            texts += getattr(user, "context_words", [])
        parts = {part for text in texts for part in [text, *re.split(r"[@.\s_-]+", text)]}
        return {plain(part) for part in parts for plain in (_characters, _letters)} - {""}


def _characters(text: str) -> str:
    """Letters and digits, lower case: signs around a word do not hide it."""
    return "".join(character for character in text.lower() if character.isalnum())


def _letters(text: str) -> str:
    """Letters alone, lower case: nor do digits."""
    return "".join(character for character in text.lower() if character.isalpha())


def _repeats(word: str, text: str) -> bool:
    return bool(text) and text == word * (len(text) // len(word))
