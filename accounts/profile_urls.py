"""One's own account: mounted at `/client/profile` and, for staff, at `/staff/profile`."""

from django.urls import path

from accounts.views import profile, sessions, two_factor

app_name = "profile"
urlpatterns = [
    path("", profile.profile, name="show"),
    path("/password", profile.password_change, name="password_change"),
    path("/2fa/enable", two_factor.two_factor_enable, name="two_factor_enable"),
    path("/2fa/confirm", two_factor.two_factor_confirm, name="two_factor_confirm"),
    path("/2fa/disable", two_factor.two_factor_disable, name="two_factor_disable"),
    path("/2fa/recovery-codes", two_factor.recovery_codes, name="recovery_codes"),
    path("/sessions/<uuid:session_id>/end", sessions.session_end, name="session_end"),
    path("/sessions/end-others", sessions.session_end_others, name="session_end_others"),
    path("/preferences", profile.preferences, name="preferences"),
]
