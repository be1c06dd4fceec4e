"""Addresses of API Access."""

from django.urls import path

from apikeys.views import keys, trial

app_name = "apikeys"
urlpatterns = [
    path("", keys.key_list, name="key_list"),
    path("/new", keys.key_new, name="key_new"),
    path("/<uuid:key_id>", keys.key_detail, name="key_detail"),
    path("/<uuid:key_id>/test", trial.key_test, name="key_test"),
    path("/<uuid:key_id>/edit", keys.key_edit, name="key_edit"),
    path("/<uuid:key_id>/rotate", keys.key_rotate, name="key_rotate"),
    path("/<uuid:key_id>/revoke", keys.key_revoke, name="key_revoke"),
]
