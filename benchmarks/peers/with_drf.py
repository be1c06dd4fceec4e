"""Django REST framework with djangorestframework-api-key, on Granian's WSGI.

As a script it makes its tables and so many keys, and prints the keys.
"""

import os
import sys

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path

from apikeys.catalogue import DEFAULT_BUNDLE, bundles
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
from django.db import connection, models  # noqa: E402
from rest_framework.decorators import api_view, permission_classes  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework_api_key.models import AbstractAPIKey, APIKey  # noqa: E402
from rest_framework_api_key.permissions import BaseHasAPIKey, HasAPIKey  # noqa: E402

TENANTS = 5_000


class Tenant(models.Model):
    """What `whoami` tells of whoever calls."""

    name = models.CharField(max_length=100)
    scopes = models.JSONField()
    sports = models.JSONField()
    limit_rpm = models.IntegerField()

    class Meta:
        app_label = "peer"

    def __str__(self) -> str:
        return self.name


class TenantKey(AbstractAPIKey):
    """A key of somebody's, as the library's guide makes one."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)

    class Meta(AbstractAPIKey.Meta):
        app_label = "peer"


class HasTenantKey(BaseHasAPIKey):
    """The library's check, of such keys."""

    model = TenantKey


@api_view(["GET"])
@permission_classes([HasAPIKey])
def fixed(request: Request) -> Response:
    """300 bytes for whoever has a key, whosever it is."""
    return Response({"data": "x" * 289})


@api_view(["GET"])
@permission_classes([HasTenantKey])
def whoami(request: Request) -> Response:
    """The documented answer, found as the library's guide finds what belongs to a key."""
    tenant = TenantKey.objects.get_from_key(request.META["HTTP_X_API_KEY"]).tenant
    return Response(
        {
            "data": {
                "tenant_id": str(tenant.pk),
                "name": tenant.name,
                "scopes": tenant.scopes,
                "sport_allowlist": tenant.sports,
                "rate_limit_rpm": tenant.limit_rpm,
            }
        }
    )


urlpatterns = [path("v1/whoami", whoami), path("v1/fixed", fixed)]
application = get_wsgi_application()


def _make(keys: int) -> None:
    """Each key opens both."""
    scopes = list(bundles()[DEFAULT_BUNDLE].scopes)
    tenants = Tenant.objects.bulk_create(
        Tenant(name=f"Bench {n}", scopes=scopes, sports=["cs2"], limit_rpm=600)
        for n in range(TENANTS)
    )
    made = []
    for number in range(keys):
        key = TenantKey(name=f"key {number}", tenant=tenants[number % TENANTS])
        sys.stdout.write(TenantKey.objects.assign_key(key) + "\n")
        made.append(key)
    TenantKey.objects.bulk_create(made, batch_size=5_000)
    parts = ("id", "prefix", "hashed_key", "name")
    alike = (APIKey(**{part: getattr(key, part) for part in parts}) for key in made)
    APIKey.objects.bulk_create(alike, batch_size=5_000)


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Tenant)
        editor.create_model(TenantKey)
    _make(int(sys.argv[1]))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
