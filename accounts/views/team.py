"""Team: members, roles, their second factors, and invitations."""

import uuid

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from accounts.access import PortalRequest, role_required
from accounts.forms import MemberRoleForm, TeamInvitationForm
from accounts.fresh import fresh_login_required, refilled
from accounts.models import Invitation, Membership, Role
from accounts.origin import Origin
from accounts.roster import team_of
from accounts.services import invitations, team
from accounts.services.invitations import InvitationError, InvitationIsDead
from accounts.services.self_service import has_second_factor
from accounts.services.team import LastOwner
from portal.lib.http import answers


@answers("GET")
def member_list(request: PortalRequest) -> HttpResponse:
    """Who belongs to the tenant, and who is invited."""
    members, guests = team_of(request.tenant)
    context = {
        "members": members,
        "guests": guests,
        "may_change": request.membership.role == Role.OWNER,
        "is_required": request.tenant.require_2fa,
        "has_second_factor": any(
            each.has_second_factor for each in members if each.username == request.user.username
        ),
    }
    return render(request, "accounts/team.html", context)


@role_required(Role.OWNER)
@fresh_login_required
@answers("GET", "POST")
def member_invite(request: PortalRequest) -> HttpResponse:
    """**Invite** somebody into the tenant."""
    form = TeamInvitationForm(request.POST or None, tenant=request.tenant)
    form = refilled(form, request)
    if request.method == "POST" and form.is_valid():
        try:
            sent = invitations.invite(
                actor=request.user,
                origin=Origin.of(request),
                tenant=request.tenant,
                **form.cleaned_data,
            )
        except InvitationError as error:
            form.add_error(None, str(error))
        else:
            _say_sent(request, sent.invitation)
            return redirect("accounts:team")
    return render(request, "accounts/team_invite.html", {"form": form})


@role_required(Role.OWNER)
@fresh_login_required
@answers("GET", "POST")
def member_edit(request: PortalRequest, membership_id: uuid.UUID) -> HttpResponse:
    """Another role for a member."""
    membership = _member(request, membership_id)
    form = MemberRoleForm(request.POST or None, initial={"role": membership.role})
    form = refilled(form, request)
    if request.method == "POST" and form.is_valid():
        try:
            team.change_role(
                tenant=request.tenant,
                membership_id=membership_id,
                role=Role(form.cleaned_data["role"]),
                actor=request.user,
                origin=Origin.of(request),
            )
        except Membership.DoesNotExist:  # removed meanwhile
            raise Http404 from None
        except LastOwner:
            form.add_error("role", _("A tenant keeps at least one owner. Make another one first."))
        else:
            messages.success(request, _("Role saved."))
            return redirect("accounts:team")
    return render(request, "accounts/team_edit.html", {"form": form, "membership": membership})


@role_required(Role.OWNER)
@fresh_login_required
@answers("GET", "POST")
def member_remove(request: PortalRequest, membership_id: uuid.UUID) -> HttpResponse:
    """A page to confirm, then the membership is over."""
    membership = _member(request, membership_id)
    if request.method == "POST":
        try:
            team.remove_member(
                tenant=request.tenant,
                membership_id=membership_id,
                actor=request.user,
                origin=Origin.of(request),
            )
        except Membership.DoesNotExist:  # removed meanwhile
            raise Http404 from None
        except LastOwner:
            messages.error(request, _("A tenant keeps at least one owner. Make another one first."))
        else:
            messages.success(
                request,
                _("%(name)s no longer belongs to the team.") % {"name": membership.user.username},
            )
        return redirect("accounts:team")
    return render(request, "accounts/team_remove.html", {"membership": membership})


@role_required(Role.OWNER)
@fresh_login_required
@answers("POST")
def member_invitation_resend(request: PortalRequest, invitation_id: uuid.UUID) -> HttpResponse:
    """**Resend**: a new link, and the old one is dead."""
    invitation = get_object_or_404(Invitation, tenant=request.tenant, pk=invitation_id)
    try:
        sent = invitations.resend_invitation(
            invitation_id=invitation.pk, actor=request.user, origin=Origin.of(request)
        )
    except InvitationIsDead:
        messages.error(request, _("It was accepted or revoked meanwhile."))
    else:
        _say_sent(request, sent.invitation)
    return redirect("accounts:team")


@role_required(Role.OWNER)
@fresh_login_required
@answers("POST")
def member_invitation_revoke(request: PortalRequest, invitation_id: uuid.UUID) -> HttpResponse:
    """**Revoke**: the link is dead."""
    invitation = get_object_or_404(Invitation, tenant=request.tenant, pk=invitation_id)
    try:
        invitations.revoke_invitation(
            invitation_id=invitation.pk, actor=request.user, origin=Origin.of(request)
        )
    except InvitationIsDead:
        messages.error(request, _("It was accepted or revoked meanwhile."))
    else:
        messages.success(request, _("Revoked: the link is dead."))
    return redirect("accounts:team")


@role_required(Role.OWNER)
@fresh_login_required
@answers("POST")
def require_2fa(request: PortalRequest) -> HttpResponse:
    """**Require 2FA for everyone**, or no longer. Whoever asks for it has it."""
    is_required = request.POST.get("required") == "1"
    if is_required and not has_second_factor(request.user):
        messages.error(request, _("Turn on your own 2FA first."))
        return redirect("accounts:team")
    team.set_require_2fa(
        tenant=request.tenant,
        is_required=is_required,
        actor=request.user,
        origin=Origin.of(request),
    )
    messages.success(
        request,
        _("2FA is required: members without it are led to it.")
        if is_required
        else _("2FA is no longer required."),
    )
    return redirect("accounts:team")


def _member(request: PortalRequest, membership_id: uuid.UUID) -> Membership:
    mine = Membership.objects.filter(tenant=request.tenant).select_related("user")
    return get_object_or_404(mine, pk=membership_id)


def _say_sent(request: PortalRequest, invitation: Invitation) -> None:
    """The mail has gone, or has not: the row knows, since it is sent right after the commit."""
    invitation.refresh_from_db(fields=["mail_error"])
    if invitation.mail_error:
        messages.warning(
            request, _("The invitation is made, but its mail was not sent. Resend it later.")
        )
    else:
        messages.success(
            request,
            _("Invitation sent to %(email)s. The link is good for 72 hours.")
            % {"email": invitation.email},
        )
