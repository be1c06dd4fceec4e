"""One's own account: mounted at `/client/profile` and, for staff, at `/staff/profile`."""

from django.urls import path

from accounts.views import profile

app_name = "profile"
urlpatterns = [
    path("", profile.profile, name="show"),
    path("/password", profile.password_change, name="password_change"),
    path("/2fa/enable", profile.two_factor_enable, name="two_factor_enable"),
    path("/2fa/confirm", profile.two_factor_confirm, name="two_factor_confirm"),
    path("/2fa/disable", profile.two_factor_disable, name="two_factor_disable"),
    path("/preferences", profile.preferences, name="preferences"),
]
