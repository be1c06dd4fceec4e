"""Every address of the pages."""

from django.contrib import admin
from django.urls import include, path

from portal import views

urlpatterns = [
    path("", views.root, name="root"),
    path("client", views.root, name="client"),
    path("client/", views.overview, name="overview"),
    path("client/help", views.help_page, name="help"),
    path("client/api-access", include("apikeys.urls")),
    path("client/delivery", include("apikeys.delivery_urls")),
    path("client/markets", include("markets.urls")),
    path("client/usage", include("apikeys.usage_urls")),
    path("client/profile", include("accounts.profile_urls")),
    path("client/", include("accounts.urls")),
    path("staff/profile", include("accounts.profile_urls", namespace="staff_profile")),
    path("staff/", admin.site.urls),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
]

handler400 = "portal.views.bad_request"
handler403 = "portal.views.forbidden"
handler404 = "portal.views.not_found"
handler500 = "portal.views.server_error"
