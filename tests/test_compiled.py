"""Querysets that are compiled once; and the connections that they are asked on."""

from typing import Any

import pytest
from django.db import connections
from django.db.models import QuerySet, Value

from accounts.models import Action, AuditEvent, Membership, Role, Tenant, User
from portal.lib.compiled import Question, ask, compiled
from portal.lib.postgres.base import DatabaseWrapper
from tests.conftest import make_member


def test_it_is_built_once_and_asks_for_what_it_is_given(acme: Tenant, globex: Tenant) -> None:
    built = []

    @compiled(tuple)
    def members(tenant_id: Value, role: Value) -> QuerySet[Any, Any]:
        built.append(1)
        mine = Membership.objects.filter(tenant=tenant_id, role=role)
        return mine.order_by("user__username").values_list("user__username", "role")

    for tenant, name in ((acme, "Ann"), (acme, "Bob"), (globex, "Cem")):
        make_member(tenant, name, Role.VIEWER)
    make_member(acme, "Dan", Role.TRADER)
    for _ in range(2):
        assert members(tenant_id=acme.pk, role="viewer") == [("Ann", "viewer"), ("Bob", "viewer")]
        assert members(tenant_id=globex.pk, role="viewer") == [("Cem", "viewer")]
        assert members(tenant_id=globex.pk, role="it's %s") == []
    assert built == [1]


def test_what_fields_make_of_columns_they_make_here_too(acme: Tenant) -> None:
    event = AuditEvent.objects.create(action=Action.LOGOUT, detail={"a": [1, "ё"]})

    @compiled(tuple)
    def details(pk: Value) -> QuerySet[Any, Any]:
        return AuditEvent.objects.filter(pk=pk).values_list("pk", "detail")

    assert details(pk=event.pk) == [(event.pk, {"a": [1, "ё"]})]


def test_several_questions_are_one_round_trip(
    acme: Tenant, globex: Tenant, alice: User, django_assert_num_queries: Any
) -> None:
    """Whatever each finds, and however its values are named."""

    @compiled(tuple)
    def members(tenant_id: Value) -> QuerySet[Any, Any]:
        return Membership.objects.filter(tenant=tenant_id).values_list("user__username")

    with django_assert_num_queries(1):
        answers = ask(
            members.of(tenant_id=globex.pk),
            Question("SELECT %s, '100%%'", ["it's; --"]),
            Question("SELECT %(a)s::int + %(a)s::int", {"a": 2}, lambda lines: [lines[0][0]]),
            members.of(tenant_id=acme.pk),
        )
    assert answers == [[], [("it's; --", "100%")], [4], [("Alice",)]]


def test_names_and_values_go_together(acme: Tenant) -> None:
    @compiled(tuple)
    def users(name: Value) -> QuerySet[Any, Any]:
        return User.objects.filter(username=name).values_list("pk")

    for given in ({}, {"nam": "x"}, {"name": "x", "more": "y"}):
        with pytest.raises(TypeError, match="users takes"):
            users(**given)


def test_a_value_that_would_not_arrive_as_it_is_given_is_refused(acme: Tenant) -> None:
    @compiled(tuple)
    def unused(name: Value) -> QuerySet[Any, Any]:
        return User.objects.values_list("pk")

    with pytest.raises(TypeError, match="does not ask"):
        unused(name="x")


def test_a_connection_that_died_in_the_pool_is_not_handed_out(acme: Tenant) -> None:
    """Killed while nobody looked; the next request has another one, and no error."""
    given = connections["default"].settings_dict
    options = given["OPTIONS"] | {"pool": {"min_size": 1, "max_size": 1, "timeout": 5}}
    pooled = DatabaseWrapper({**given, "OPTIONS": options}, alias="default")
    try:
        alive = _backend(pooled)
        assert _backend(pooled) == alive
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [alive])
        assert _backend(pooled) != alive
    finally:
        pooled.close()
        pooled.close_pool()


def _backend(pooled: DatabaseWrapper) -> int:
    """The server's process behind a request's connection, which goes back to the pool."""
    with pooled.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    pooled.close()
    found: int = pid
    return found
