"""The page behind an invitation's link. Looking at it changes nothing."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters

from accounts.access import login_not_required, tenant_not_required
from accounts.entrance import enter, home
from accounts.forms import NewPasswordForm
from accounts.limits import limit_invitation, remember_browser
from accounts.models import Invitation, User
from accounts.origin import Origin
from accounts.services.invitations import (
    AccountExists,
    InvitationIsDead,
    UsernameIsTaken,
    accept_invitation,
    find_pending,
    join_tenant,
)
from portal.lib.http import answers


@sensitive_post_parameters()
@login_not_required
@tenant_not_required
@answers("GET", "POST")
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Show the invitation; the POST of a good password accepts it and signs in."""
    if request.method == "POST":
        limit_invitation(request)
    found = find_pending(token)
    if found is None:
        return dead_link(request)
    if User.objects.by_email(found.email) is not None:
        return _for_existing_account(request, found, token)
    form = NewPasswordForm(request.POST or None, user=_user_to_be(found))
    if request.method == "POST" and form.is_valid():
        try:
            user = accept_invitation(
                token=token,
                password=form.cleaned_data["new_password"],
                origin=Origin.of(request),
            )
        except InvitationIsDead:
            return dead_link(request)
        except AccountExists:
            return redirect(request.path)
        except UsernameIsTaken:
            form.add_error(
                None,
                _("Somebody else took this username meanwhile. Ask for a new invitation."),
            )
        else:
            enter(request, user, has_second_factor=False)
            response = redirect(home(user))
            remember_browser(request, response, user)
            return response
    return render(request, "accounts/invitation.html", {"form": form, "invitation": found})


@login_not_required
@tenant_not_required
@answers("POST")
def invitation_join(request: HttpRequest, token: str) -> HttpResponse:
    """Join the tenant with the account that the address already has."""
    if not isinstance(request.user, User):
        return redirect("accounts:invitation", token)
    try:
        tenant = join_tenant(token=token, user=request.user, origin=Origin.of(request))
    except InvitationIsDead:
        return dead_link(request)
    request.session["tenant"] = str(tenant.pk)
    return redirect("overview")


def dead_link(request: HttpRequest) -> HttpResponse:
    """One page for used, revoked, expired and unknown links: 404, and whom to ask."""
    return render(request, "accounts/invitation_dead.html", status=404)


def _for_existing_account(request: HttpRequest, found: Invitation, token: str) -> HttpResponse:
    if find_pending(token) is None:  # it was this link that made the account, a moment ago
        return dead_link(request)
    is_theirs = isinstance(request.user, User) and request.user.email.lower() == found.email.lower()
    context = {"invitation": found, "token": token, "is_theirs": is_theirs}
    return render(request, "accounts/invitation_join.html", context)


def _user_to_be(found: Invitation) -> User:
    """Whom the password is for, so that their own names are refused as passwords."""
    user = User(username=found.username, email=found.email, name=found.name)
    user.context_words = [found.tenant.name] if found.tenant else []  # type: ignore[attr-defined]
    return user
