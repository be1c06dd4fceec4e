"""Querysets that are compiled once a process, and asked with other values each time.

Building a queryset and compiling its SQL costs several times what asking it does. Where every page
asks the same, it is written down as a function, and only the values change. The present moment is
one of them: what the function asks of a clock, it asks once a process.

    class Member(NamedTuple):
        username: str
        role: str

    @compiled(Member._make)
    def _members(tenant_id: Value) -> QuerySet[Any, Any]:
        mine = Membership.objects.filter(tenant=tenant_id)
        return mine.values_list("user__username", "role")

    members = _members(tenant_id=request.tenant.pk)

A page that has several questions puts them together (`ask`): a round trip costs CPU of its own.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import connection
from django.db.models import QuerySet, Value

Row = TypeVar("Row")
Build = Callable[..., QuerySet[Any, Any]]
Convert = Callable[[Any], Any]


def compiled(row: Callable[[Sequence[Any]], Row]) -> Callable[[Build], "Compiled[Row]"]:
    """row: makes a row of the values of a line. The function returns a queryset of `values_list`,
    whose shape is the same whatever is given: of its parameters it knows nothing but their names.
    """
    return lambda build: Compiled(build, row)


@dataclass(frozen=True)
class Question(Generic[Row]):
    """A statement with its values, and what becomes of the lines that it finds."""

    sql: str
    values: Sequence[Any] | Mapping[str, Any]
    read: Callable[[list[Any]], list[Row]] = list


def ask(*questions: Question[Any]) -> list[list[Any]]:
    """The answers to several questions, in one round trip and one transaction."""
    with connection.cursor() as cursor:
        cursor.execute(";\n".join(cursor.mogrify(each.sql, each.values) for each in questions))
        found = [cursor.fetchall()]
        while cursor.nextset():
            found.append(cursor.fetchall())
    return [each.read(lines) for each, lines in zip(questions, found, strict=True)]


@dataclass(frozen=True)
class _Given:
    """The place of a value, in the parameters of the SQL."""

    name: str


@dataclass(frozen=True)
class _Statement:
    sql: str
    parameters: tuple[Any, ...]
    converters: tuple[tuple[int, list[Convert]], ...]


class Compiled(Generic[Row]):
    """See `compiled`."""

    def __init__(self, build: Build, row: Callable[[Sequence[Any]], Row]) -> None:
        self._build = build
        self._row = row
        self._names = frozenset(inspect.signature(build).parameters)
        self._statement: _Statement | None = None

    def __call__(self, **values: Any) -> list[Row]:
        """Ask it alone."""
        question = self.of(**values)
        with connection.cursor() as cursor:
            cursor.execute(question.sql, question.values)
            found = cursor.fetchall()
        return question.read(found)

    def of(self, **values: Any) -> Question[Row]:
        """For `ask`. TypeError unless each parameter is given a value, and nothing else is."""
        if values.keys() != self._names:
            raise TypeError(f"{self._build.__name__} takes {sorted(self._names)}")
        statement = self._statement or self._compile()
        given = [
            values[each.name] if type(each) is _Given else each for each in statement.parameters
        ]
        return Question(statement.sql, given, self._read)

    def _read(self, lines: list[Any]) -> list[Row]:
        converters = self._statement.converters if self._statement else ()
        if converters:
            lines = [_converted(line, converters) for line in lines]
        return list(map(self._row, lines))

    def _compile(self) -> _Statement:
        """TypeError where a value does not arrive in the SQL as it is given (`icontains`)."""
        places = {name: Value(_Given(name)) for name in self._names}
        compiler = self._build(**places).query.get_compiler(connection=connection)
        sql, parameters = compiler.as_sql()
        if {each.name for each in parameters if type(each) is _Given} != self._names:
            raise TypeError(f"{self._build.__name__} does not ask for its values as they are")
        expressions = [each[0] for each in compiler.select]
        converters = [
            (place, [_bound(convert, expression) for convert in converts])
            for place, (converts, expression) in compiler.get_converters(expressions).items()
        ]
        self._statement = _Statement(sql, tuple(parameters), tuple(converters))
        return self._statement


def _bound(convert: Callable[..., Any], expression: Any) -> Convert:
    return lambda value: convert(value, expression, connection)


def _converted(line: Sequence[Any], converters: tuple[tuple[int, list[Convert]], ...]) -> list[Any]:
    values = list(line)
    for place, converts in converters:
        for convert in converts:
            values[place] = convert(values[place])
    return values
