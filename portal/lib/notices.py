"""One-line notices after an act ("Key revoked"), in a signed cookie: reading one writes no row."""

from django.conf import settings
from django.contrib.messages.storage.cookie import CookieStorage


class NoticeStorage(CookieStorage):
    """Django's cookie storage under a name that may carry the `__Host-` prefix."""

    cookie_name = settings.NOTICE_COOKIE_NAME
