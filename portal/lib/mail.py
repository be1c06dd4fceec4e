"""Where mail goes: an SMTP server named by EMAIL_URL, or files and the console without one."""

import sys
import threading
from collections.abc import Sequence
from email.header import decode_header, make_header
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.message import EmailMessage

from portal.lib import clock
from portal.lib.env import SettingError

SMTP_TIMEOUT_SECONDS = 5


class MailSettings(NamedTuple):
    """Django's EMAIL_* settings."""

    backend: str
    host: str = ""
    port: int = 25
    user: str = ""
    password: str = ""
    use_tls: bool = False


def email_settings(url: str) -> MailSettings:
    """Read `smtp://user:secret@host:port` or `smtp+tls://…`; empty means FileBackend."""
    if not url:
        return MailSettings("portal.lib.mail.FileBackend")
    parts = urlsplit(url)
    if parts.scheme not in {"smtp", "smtp+tls"} or not parts.hostname:
        raise SettingError("EMAIL_URL should be smtp://host:port or smtp+tls://user:secret@host.")
    use_tls = parts.scheme == "smtp+tls"
    return MailSettings(
        backend="django.core.mail.backends.smtp.EmailBackend",
        host=parts.hostname,
        port=parts.port or (587 if use_tls else 25),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        use_tls=use_tls,
    )


class FileBackend(BaseEmailBackend):
    """Each mail as `<time>-<n>.eml` in EMAIL_FILE_PATH, readable by its owner, and on stderr."""

    _lock = threading.Lock()

    def __init__(self, fail_silently: bool = False, **options: Any) -> None:
        from django.conf import settings  # the settings import this module

        super().__init__(fail_silently=fail_silently, **options)
        self._folder = Path(settings.EMAIL_FILE_PATH)

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """How many were written: all of them, or OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for message in email_messages:
            self._write(message.message())
        return len(email_messages)

    def _write(self, message: Message) -> None:
        stamp = clock.now().strftime("%Y%m%dT%H%M%S.%f")
        with self._lock:
            path = self._folder / f"{stamp}-{len(list(self._folder.iterdir()))}.eml"
            path.touch(mode=0o600, exist_ok=False)
            path.write_bytes(message.as_bytes())
        subject = make_header(decode_header(str(message["Subject"])))
        sys.stderr.write(f"Mail to {message['To']}: {subject} ({path})\n")
