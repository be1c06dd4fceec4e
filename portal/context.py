"""What every page's frame needs: the provider's name, the navigation, the tenants to switch to."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _


def shell(request: HttpRequest) -> dict[str, Any]:
    """Context of base.html."""
    user = getattr(request, "user", None)
    is_staff = bool(user and user.is_authenticated and user.is_staff)
    memberships = getattr(request, "memberships", [])
    return {
        "provider": {"name": settings.PROVIDER_NAME, "b2b_email": settings.PROVIDER_EMAIL},
        "nav": _navigation(request, is_staff=is_staff) if memberships or is_staff else [],
        "switchable_tenants": [m.tenant for m in memberships] if len(memberships) > 1 else [],
        "profile_url": reverse("staff_profile:show" if is_staff else "profile:show"),
        "home_url": reverse("admin:index" if is_staff else "overview"),
        "html_theme": getattr(user, "theme", "system"),
    }


def _navigation(request: HttpRequest, *, is_staff: bool) -> list[dict[str, Any]]:
    if is_staff:
        pages = [
            (_("Staff"), reverse("admin:index")),
            (_("Profile"), reverse("staff_profile:show")),
        ]
    else:
        pages = [
            (_("Overview"), reverse("overview")),
            (_("API Access"), reverse("apikeys:key_list")),
            (_("Markets"), reverse("markets:list")),
            (_("Delivery credentials"), reverse("delivery:show")),
            (_("Usage"), reverse("usage:show")),
            (_("Team"), reverse("accounts:team")),
            (_("Activity"), reverse("accounts:activity")),
            (_("Profile"), reverse("profile:show")),
        ]
    here = request.path
    return [
        {
            "label": label,
            "url": url,
            "is_current": here == url or (not url.endswith("/") and here.startswith(f"{url}/")),
        }
        for label, url in pages
    ]
