"""Addresses of Usage. The CSV is the page's own address with a suffix."""

from django.urls import path

from apikeys.views import usage

app_name = "usage"
urlpatterns = [
    path("", usage.show, name="show"),
    path(".csv", usage.download, name="csv"),
]
