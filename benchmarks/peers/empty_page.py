"""An empty Django view without middleware, as WSGI: what a page's server and framework cost."""

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY="measured and thrown away",  # noqa: S106
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[],
)
django.setup()


def empty(request: HttpRequest) -> HttpResponse:
    """Nothing, quickly."""
    return HttpResponse(b"")


urlpatterns = [path("empty", empty)]
application = get_wsgi_application()
