"""Who may: decorators with a word each, for views and for the middleware that reads them."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

from accounts.models import Membership, Role, Tenant, User

View = TypeVar("View", bound=Callable[..., HttpResponseBase])

__all__ = [
    "PortalRequest",
    "login_not_required",
    "own_page",
    "require_role",
    "role_required",
    "second_factor_not_required",
    "tenant_not_required",
    "under_own_roof",
]


class PortalRequest(HttpRequest):
    """A request of somebody signed in, as the middleware leaves it: for annotations alone."""

    user: User
    tenant: Tenant
    membership: Membership
    memberships: list[Membership]


def tenant_not_required(view: View) -> View:
    """The view is about oneself or about nobody: it needs no tenant, so staff may use it."""
    view.tenant_required = False  # type: ignore[attr-defined]
    return view


def under_own_roof(view: View) -> View:
    """One's own account: members have it under `/client/`, staff under `/staff/`; else 403."""

    @wraps(view)
    def guarded(request: PortalRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        match = request.resolver_match
        is_staffs = match is not None and match.namespace == "staff_profile"
        if is_staffs != request.user.is_staff:
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return tenant_not_required(guarded)  # type: ignore[return-value]


def second_factor_not_required(view: View) -> View:
    """Where one gets a second factor, and the way out: open while 2FA is required and missing."""
    view.second_factor_required = False  # type: ignore[attr-defined]
    return view


def own_page(request: HttpRequest, name: str) -> str:
    """A page of one's own account, under the roof one is under: `/client/…` or `/staff/…`."""
    match = request.resolver_match
    return reverse(name, current_app=match.namespace if match else None)


def role_required(*roles: Role) -> Callable[[View], View]:
    """403 unless the current membership has one of the roles."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: PortalRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.membership.role not in roles:
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return guarded  # type: ignore[return-value]

    return decorate


def require_role(actor: User, tenant: Tenant, roles: frozenset[Role]) -> None:
    """PermissionDenied unless the actor has one of the roles there: the services' own check."""
    if not Membership.objects.filter(user=actor, tenant=tenant, role__in=roles).exists():
        raise PermissionDenied
