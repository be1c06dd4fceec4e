"""Which methods a view answers, said at the view, where `next` and the access matrix read it."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.http import HttpResponseBase
from django.views.decorators.http import require_http_methods

# In the ASGI scope of a request whose body stopped coming: the pages answer 408.
CAME_TOO_SLOWLY = "portal.came_too_slowly"

View = TypeVar("View", bound=Callable[..., HttpResponseBase])


def answers(*methods: str) -> Callable[[View], View]:
    """405 for every method but these; HEAD comes with GET."""
    allowed = [*methods, "HEAD"] if "GET" in methods else list(methods)

    def decorate(view: View) -> View:
        guarded: Any = require_http_methods(allowed)(view)
        guarded.answers_get = "GET" in methods
        guarded.methods = tuple(methods)
        return guarded  # type: ignore[no-any-return]

    return decorate
