"""Django REST framework with djangorestframework-api-key's HasAPIKey, on Granian's WSGI.

As a script it makes its tables and so many keys, and prints the keys.
"""

import os
import sys

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path

from portal.lib.env import database_parts

_PARTS = database_parts(os.environ["DRF_DATABASE_URL"])
settings.configure(
    SECRET_KEY="measured and thrown away",  # noqa: S106
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "rest_framework",
        "rest_framework_api_key",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": _PARTS["dbname"],
            "USER": _PARTS["user"],
            "PASSWORD": _PARTS["password"],
            "HOST": _PARTS["host"],
            "CONN_MAX_AGE": None,
        }
    },
    API_KEY_CUSTOM_HEADER="HTTP_X_API_KEY",
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    },
)
django.setup()

from django.core.management import call_command  # noqa: E402 - settings come first
from rest_framework.decorators import api_view, permission_classes  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework_api_key.models import APIKey  # noqa: E402
from rest_framework_api_key.permissions import HasAPIKey  # noqa: E402


@api_view(["GET"])
@permission_classes([HasAPIKey])
def whoami(request: Request) -> Response:
    """300 bytes for whoever has a key."""
    return Response({"data": "x" * 289})


urlpatterns = [path("v1/whoami", whoami)]
application = get_wsgi_application()

if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    for number in range(int(sys.argv[1])):
        sys.stdout.write(APIKey.objects.create_key(name=f"key {number}")[1] + "\n")
