"""A server that can be reached: its addresses, and the roles and the database in it."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from portal.embedded_postgres.place import PostgresError

DATABASE = "portal"
SUPERUSER = "postgres"
OWNER = "portal_owner"  # owns the database and migrates it
APPLICATION = "portal_app"  # may log in; its rights on tables come with the migrations
ROLES = (SUPERUSER, OWNER, APPLICATION)


@dataclass(frozen=True)
class Server:
    """Where it listens. `process` is there when it is this process's own child."""

    sockets: Path
    passwords: Mapping[str, str] = field(repr=False)
    data: Path
    process: subprocess.Popen[bytes] | None

    def url(self, role: str, database: str = DATABASE) -> str:
        """The address for one of `ROLES`, as libpq reads it; it holds the password."""
        folder = quote(os.fsencode(self.sockets), safe="")
        password = quote(self.passwords[role], safe="")
        return f"postgresql://{role}:{password}@/{database}?host={folder}"

    def prepare(self, *, may_create_databases: bool) -> None:
        """Makes the roles and the database where they are missing. Raises PostgresError."""
        try:
            with psycopg.connect(self.url(SUPERUSER, "postgres"), autocommit=True) as connection:
                for role in (OWNER, APPLICATION):
                    _make_role(connection, role, self.passwords[role])
                if may_create_databases:
                    statement = sql.SQL("ALTER ROLE {} CREATEDB")
                    connection.execute(statement.format(sql.Identifier(OWNER)))
                is_new = _make_database(connection)
            if is_new:
                with psycopg.connect(self.url(SUPERUSER), autocommit=True) as connection:
                    connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        except psycopg.OperationalError as error:
            raise PostgresError(
                f"Postgres on {self.data} refuses the passwords in secrets.json: {error}".strip()
            ) from None

    def is_migrated(self) -> bool:
        """Whether Django has ever migrated the database."""
        with psycopg.connect(self.url(OWNER)) as connection:
            found = connection.execute("SELECT to_regclass('public.django_migrations')").fetchone()
        return found is not None and found[0] is not None


def _make_role(connection: psycopg.Connection, role: str, password: str) -> None:
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
        return
    # Only the SCRAM verifier goes over: no log of the server can hold the password.
    verifier = connection.pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    )
    statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
    connection.execute(statement.format(sql.Identifier(role), sql.Literal(verifier.decode())))


def _make_database(connection: psycopg.Connection) -> bool:
    query = "SELECT 1 FROM pg_database WHERE datname = %s"
    if connection.execute(query, [DATABASE]).fetchone():
        return False
    connection.execute(
        sql.SQL("CREATE DATABASE {} OWNER {}").format(
            sql.Identifier(DATABASE), sql.Identifier(OWNER)
        )
    )
    return True
