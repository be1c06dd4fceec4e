"""`grant_rights`: what the application's role may do. `migrate` calls it; again is fine."""

from typing import Any

from django.core.management.base import BaseCommand
from django.db import connections
from psycopg import sql

APPEND_ONLY = ["accounts_auditevent"]


class Command(BaseCommand):
    """Everything on rows, nothing on tables; of audit events only to write and to read them."""

    help = "Grants the application's database role its rights. Audit events: insert and select."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run as the owner; with a single role there is nothing to grant."""
        owner = connections["owner"]
        role = connections["default"].settings_dict["USER"]
        if role == owner.settings_dict["USER"]:
            return
        statements = [
            "GRANT USAGE ON SCHEMA public TO {role}",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
            "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}",
        ]
        with owner.cursor() as cursor:
            for statement in statements:
                cursor.execute(sql.SQL(statement).format(role=sql.Identifier(role)))
            for table in APPEND_ONLY:
                cursor.execute(
                    sql.SQL("REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM {role}").format(
                        table=sql.Identifier(table), role=sql.Identifier(role)
                    )
                )
