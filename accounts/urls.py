"""Addresses of the entrance and of the session."""

from django.urls import path

from accounts.views import activity, invitations, signing_in, team

app_name = "accounts"
urlpatterns = [
    path("login", signing_in.sign_in, name="sign_in"),
    path("login/code", signing_in.code, name="code"),
    path("sign-out", signing_in.sign_out, name="sign_out"),
    path("switch-tenant", signing_in.tenant_switch, name="tenant_switch"),
    path("invite/<str:token>", invitations.invitation, name="invitation"),
    path("invite/<str:token>/join", invitations.invitation_join, name="invitation_join"),
    path("team", team.member_list, name="team"),
    path("team/invite", team.member_invite, name="member_invite"),
    path("team/require-2fa", team.require_2fa, name="require_2fa"),
    path("team/<uuid:membership_id>/role", team.member_edit, name="member_edit"),
    path("team/<uuid:membership_id>/remove", team.member_remove, name="member_remove"),
    path(
        "team/invitations/<uuid:invitation_id>/resend",
        team.member_invitation_resend,
        name="member_invitation_resend",
    ),
    path(
        "team/invitations/<uuid:invitation_id>/revoke",
        team.member_invitation_revoke,
        name="member_invitation_revoke",
    ),
    path("activity", activity.activity, name="activity"),
    path("activity.csv", activity.activity_csv, name="activity_csv"),
]
