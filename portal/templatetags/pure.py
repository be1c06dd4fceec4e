"""`{% pure "row.html" with key=key %}`: an include that is kept, and can never be out of date.

What it shows depends on its template, the values that it is given, the language and the time zone;
and under exactly these it is kept. So it sees no request and nothing else of its surroundings, and
takes no value that could change behind its key: text, numbers, moments, and tuples (named or of a
frozen dataclass) of them. A model instance is refused: two states of one row are equal to Python.

Nothing in it may ask what time it is (`timesince`) or draw lots. `{% csrf_token %}` works: the
token is put in afterwards, and is never kept. Secrets are given to no pure template.
"""

import dataclasses
import datetime as dt
import secrets
import uuid
from enum import Enum
from threading import Lock
from typing import Any

from django import template
from django.template.base import FilterExpression, Parser, Token, token_kwargs
from django.template.context import Context
from django.utils import timezone, translation
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

# Characters of all that is kept, per process; the keys take about as much again.
MOST_KEPT = 8_000_000
# Stands where the token goes. Drawn for each process: no text that a person wrote can hold it.
_HOLE = secrets.token_hex(16)
_PLAIN = (str, int, float, bool, type(None), uuid.UUID, dt.datetime, dt.date, dt.timedelta, Enum)


class Kept:
    """Texts by what they show. What was kept first goes first, unless it was asked for meanwhile:
    then it has another round. So a hit looks once, and needs no lock.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._texts: dict[Any, _Text] = {}
        self._lock = Lock()

    def get(self, key: Any) -> str | None:
        """The text, if it is kept."""
        found = self._texts.get(key)
        if found is None:
            return None
        found.was_asked_for = True
        return found.text

    def put(self, key: Any, text: str) -> None:
        """Keep it, and let go of others while there is too much."""
        with self._lock:
            if key in self._texts:  # by another thread, meanwhile
                return
            self._texts[key] = _Text(text)
            self._size += len(text)
            while self._size > self._most:
                self._let_go()

    def _let_go(self) -> None:
        key = next(iter(self._texts))
        first = self._texts.pop(key)
        if first.was_asked_for:
            first.was_asked_for = False
            self._texts[key] = first
        else:
            self._size -= len(first.text)


@dataclasses.dataclass
class _Text:
    text: str
    was_asked_for: bool = False


_kept = Kept(MOST_KEPT)


class PureNode(template.Node):
    """See the module."""

    def __init__(self, name: str, given: dict[str, FilterExpression]) -> None:
        self._name = name
        self._names = tuple(given)
        self._given = tuple(given.values())

    def render(self, context: Context) -> SafeString:
        """The text for these values, kept or made; with the token of this request in it."""
        values = tuple([each.resolve(context) for each in self._given])
        key = (
            self._name,
            self._names,
            values,
            tuple(map(type, values)),  # 1 and True are equal, and do not read the same
            _tongue(context),
        )
        text = _kept.get(key)
        if text is None:
            text = self._make(context, values)
            _kept.put(key, text)
        if _HOLE in text:
            text = text.replace(_HOLE, str(context.get("csrf_token", "")))
        return mark_safe(text)  # noqa: S308 - a template made it

    def _make(self, context: Context, values: tuple[Any, ...]) -> str:
        for name, value in zip(self._names, values, strict=True):
            # Its own type is in the key, so markup as such may be a value; within one it may not.
            if not isinstance(value, SafeString) and not _is_plain(value):
                raise TypeError(f"{self._name}: {name} could change unseen ({type(value)})")
        assert context.template is not None  # noqa: S101 - it is being rendered
        made = context.template.engine.get_template(self._name)
        shown = dict(zip(self._names, values, strict=True))
        return made.render(Context({**shown, "csrf_token": _HOLE}))


@register.tag("pure")
def do_pure(parser: Parser, token: Token) -> PureNode:
    """`{% pure "template.html" with name=value … %}`."""
    bits = token.split_contents()[1:]
    if not bits or bits[0][0] not in "\"'" or bits[1:2] not in ([], ["with"]):
        raise template.TemplateSyntaxError('{% pure "template.html" with name=value … %}')
    rest = bits[2:]
    given = token_kwargs(rest, parser)
    if rest or (bits[1:] and not given):
        raise template.TemplateSyntaxError(f"pure takes name=value, and not {rest}")
    return PureNode(bits[0][1:-1], given)


def _tongue(context: Context) -> Any:
    """Language and time zone, asked once for a page: no template of ours changes them within."""
    asked: dict[Any, Any] = context.render_context.dicts[0]
    if PureNode not in asked:
        asked[PureNode] = (translation.get_language(), timezone.get_current_timezone())
    return asked[PureNode]


def _is_plain(value: object) -> bool:
    """Equal means: reads the same. A SafeString is equal to text that would be escaped."""
    if isinstance(value, SafeString):
        return False
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    if dataclasses.is_dataclass(value):
        kind: Any = type(value)
        fields = dataclasses.fields(kind)
        is_frozen: bool = kind.__dataclass_params__.frozen
        return is_frozen and all(_is_plain(getattr(value, each.name)) for each in fields)
    return isinstance(value, _PLAIN)
