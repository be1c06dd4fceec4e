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
        letters = _plain(password)
        for word in self._words(user):
            if letters and letters == word * (len(letters) // len(word)):
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
            texts += [user.username, user.name, user.email, *getattr(user, "context_words", [])]
        parts = {_plain(part) for text in texts for part in re.split(r"[@.\s_-]+", text)}
        return {word for word in parts | {_plain(text) for text in texts} if len(word) >= 3}


def _plain(text: str) -> str:
    """Letters alone, lower case: digits and signs around a word do not hide it."""
    return "".join(character for character in text.lower() if character.isalpha())
