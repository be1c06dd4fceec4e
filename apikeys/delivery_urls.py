"""Addresses of Delivery credentials."""

from django.urls import path

from apikeys.views import delivery

app_name = "delivery"
urlpatterns = [
    path("", delivery.show, name="show"),
    path("/ask-for-amqp", delivery.amqp_access_request, name="amqp_access_request"),
    path("/ask-for-password", delivery.amqp_password_request, name="amqp_password_request"),
]
