"""Mails: text and HTML from one source, templates/emails/<name>/{subject.txt,body.txt}."""

import re
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from portal.lib import clock


def compose(
    name: str, *, to: str, context: dict[str, Any], language: str = "en", time_zone: str = "UTC"
) -> EmailMultiAlternatives:
    """The mail `name` for one address, in the reader's language and zone.

    The HTML is the text with its paragraphs marked and the portal's links made links: no images,
    nothing from elsewhere, nothing that the text does not say.
    """
    context = {
        **context,
        "provider": settings.PROVIDER_NAME,
        "contact": settings.PROVIDER_EMAIL,
    }
    with translation.override(language), timezone.override(clock.zone(time_zone)):
        subject = render_to_string(f"emails/{name}/subject.txt", context)
        text = render_to_string(f"emails/{name}/body.txt", context).strip() + "\n"
        marked = {"subject": subject.strip(), "text": _linked(text)}
        html = render_to_string("emails/layout.html", marked)
    message = EmailMultiAlternatives(subject=" ".join(subject.split()), body=text, to=[to])
    message.attach_alternative(html, "text/html")
    return message


def _linked(text: str) -> SafeString:
    """Addresses of this portal alone become links: what people call their keys does not."""
    own = re.escape(escape(settings.PORTAL_BASE_URL)) + r"/[\w/-]*"
    return mark_safe(re.sub(rf"(?<!\S){own}", r'<a href="\g<0>">\g<0></a>', escape(text)))  # noqa: S308
