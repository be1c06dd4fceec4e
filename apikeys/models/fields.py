"""Postgres's own network type: Postgres refuses what is no network, and indexes what is."""

from django.db import models


class CidrField(models.Field):  # type: ignore[type-arg] # not subscriptable at run time
    """`203.0.113.0/24` or `2001:db8::/32` as Postgres's `cidr`; a str in Python."""

    description = "A network in CIDR notation"

    def db_type(self, connection: object) -> str:
        """The column's type."""
        return "cidr"
