"""Forms that nobody has filled in yet."""

from functools import lru_cache

from django.forms import Form
from django.utils.safestring import SafeString
from django.utils.translation import get_language


def blank(form_class: type[Form]) -> SafeString:
    """The form as it looks before it is filled in: the same for everybody who reads a language.

    Rendered once, since the templates of two fields cost more than the rest of their page. For
    forms that are made of nothing: no choices from the database, no initial values.
    """
    return _blank(form_class, get_language())


@lru_cache(maxsize=32)
def _blank(form_class: type[Form], language: str | None) -> SafeString:
    """language: the active one."""
    return SafeString(form_class())
