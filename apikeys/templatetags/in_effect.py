"""For pages of any app that say how far a change has come in the machine door."""

from django import template

from apikeys.propagation import Effect, await_effect

register = template.Library()


@register.simple_tag
def effect_of(kind: str, name: object, version: int) -> Effect | None:
    """As soon as it is in effect everywhere, or after a second: see `apikeys.propagation`."""
    return await_effect(kind, name, version)
