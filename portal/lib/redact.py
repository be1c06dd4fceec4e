"""What must not be written anywhere is taken out where lines are written: by the formatter."""

import logging
import re
from urllib.parse import unquote

_RULES = [
    (re.compile(r"vbk_[0-9A-Za-z_]{8,}"), "vbk_[redacted]"),  # two in a row as well
    (re.compile(r"(invite(?:/|%2[Ff]))[\w%-]{8,}"), r"\1[redacted]"),
    (re.compile(r"(api_key(?:=|%3[Dd]))[^&\s\"']+", re.IGNORECASE), r"\1[redacted]"),
]


def redacted(text: str) -> str:
    """The text without API keys, invite links' tokens and `api_key` parameters."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def redacted_path(path: str) -> str:
    """The same of a raw path, also where they are percent-encoded in it: then it is decoded."""
    decoded = unquote(path)
    return redacted(path if redacted(decoded) == decoded else decoded)


class RedactingFormatter(logging.Formatter):
    """One line a record, tracebacks below it, all of it redacted."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name} {message}", style="{")

    def format(self, record: logging.LogRecord) -> str:
        """The finished text, redacted last, so that arguments and tracebacks are covered."""
        return redacted(super().format(record))
