"""Addresses of the entrance and of the session."""

from django.urls import path

from accounts.views import invitations, signing_in

app_name = "accounts"
urlpatterns = [
    path("login", signing_in.sign_in, name="sign_in"),
    path("login/code", signing_in.code, name="code"),
    path("sign-out", signing_in.sign_out, name="sign_out"),
    path("switch-tenant", signing_in.tenant_switch, name="tenant_switch"),
    path("invite/<str:token>", invitations.invitation, name="invitation"),
    path("invite/<str:token>/join", invitations.invitation_join, name="invitation_join"),
]
