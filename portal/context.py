"""What every page's frame needs: the provider's name, the navigation, the tenants to switch to."""

from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.models import Role
from portal.lib.csrf import token_of


class Provider(NamedTuple):
    """Us."""

    name: str
    b2b_email: str


class Places(NamedTuple):
    """Where somebody is at home, and the (name, address) of each page of the navigation."""

    home: str
    profile: str
    pages: tuple[tuple[str, str], ...]


class Page(NamedTuple):
    """A line of the navigation."""

    label: str
    url: str
    is_current: bool


class Frame(NamedTuple):
    """What stands around a page of somebody signed in: plain values, for pure templates.

    tenants: slug and name of each that one can switch to; empty where there is one at most.
    """

    home_url: str
    profile_url: str
    username: str
    role: str
    tenant_slug: str
    tenant_name: str
    tenants: tuple[tuple[str, str], ...]
    nav: tuple[Page, ...]


def shell(request: HttpRequest) -> dict[str, Any]:
    """Context of base.html and base_entrance.html."""
    user = getattr(request, "user", None)
    is_signed_in = bool(user and user.is_authenticated)
    places = _places(get_language(), is_staff=is_signed_in and user.is_staff)  # type: ignore[union-attr]
    return {
        "provider": Provider(settings.PROVIDER_NAME, settings.PROVIDER_EMAIL),
        "home_url": places.home,
        "profile_url": places.profile,
        "frame": _frame(request, places) if is_signed_in else None,
        "csrf_token": SimpleLazyObject(lambda: token_of(request)),
    }


def _frame(request: Any, places: Places) -> Frame:
    memberships = getattr(request, "memberships", [])
    membership = getattr(request, "membership", None)
    tenant = membership.tenant if membership else None
    return Frame(
        home_url=places.home,
        profile_url=places.profile,
        username=request.user.username,
        role=str(Role(membership.role).label) if membership else "",
        tenant_slug=tenant.slug if tenant else "",
        tenant_name=tenant.name if tenant else "",
        tenants=tuple((each.tenant.slug, each.tenant.name) for each in memberships)
        if len(memberships) > 1
        else (),
        nav=_navigation(places, request.path) if memberships or request.user.is_staff else (),
    )


@lru_cache(maxsize=256)
def _navigation(places: Places, here: str) -> tuple[Page, ...]:
    return tuple(
        Page(label, url, here == url or (not url.endswith("/") and here.startswith(f"{url}/")))
        for label, url in places.pages
    )


@lru_cache
def _places(language: str | None, *, is_staff: bool) -> Places:
    """language: the active one, which the words are in. Addresses are the same in each."""
    if is_staff:
        profile = reverse("staff_profile:show")
        return Places(
            home=reverse("admin:index"),
            profile=profile,
            pages=((_("Staff"), reverse("admin:index")), (_("Profile"), profile)),
        )
    return Places(
        home=reverse("overview"),
        profile=reverse("profile:show"),
        pages=(
            (_("Overview"), reverse("overview")),
            (_("API Access"), reverse("apikeys:key_list")),
            (_("Markets"), reverse("markets:list")),
            (_("Delivery credentials"), reverse("delivery:show")),
            (_("Usage"), reverse("usage:show")),
            (_("Team"), reverse("accounts:team")),
            (_("Activity"), reverse("accounts:activity")),
            (_("Profile"), reverse("profile:show")),
        ),
    )
