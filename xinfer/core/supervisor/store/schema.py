"""The database's tables, and the steps from each version of them to the next."""

from __future__ import annotations

import sqlite3

APPLICATION_ID = 0x78696E66
"""Marks a file as ours: "xinf"."""

Migration = tuple[str, ...]

MIGRATIONS: tuple[Migration, ...] = (
    (
        # A row stays when its deployment is terminated, for its generation; the body is NULL then.
        # A parked deployment is kept but not wanted: the server was started without restoring.
        """CREATE TABLE deployments (
            uid TEXT PRIMARY KEY NOT NULL,
            generation INTEGER NOT NULL,
            body BLOB,
            parked INTEGER NOT NULL,
            checksum INTEGER NOT NULL
        )""",
        "CREATE TABLE supervisor (epoch INTEGER NOT NULL)",
        "INSERT INTO supervisor VALUES (0)",
    ),
    (
        """CREATE TABLE declarations (
            uid TEXT PRIMARY KEY NOT NULL,
            body BLOB NOT NULL,
            checksum INTEGER NOT NULL
        )""",
    ),
    (
        # Models that users described, by the JSON in which they did.
        """CREATE TABLE registrations (
            name TEXT PRIMARY KEY NOT NULL,
            type TEXT NOT NULL,
            body BLOB NOT NULL,
            checksum INTEGER NOT NULL
        )""",
    ),
)
"""The n-th leads from version n - 1, which is `PRAGMA user_version`, to version n. Steps that were
released are never changed."""


def schema(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    """What is defined in a database, for comparison."""
    return connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"
    ).fetchall()


def expected_schema(migrations: tuple[Migration, ...]) -> list[tuple[str, ...]]:
    """What `schema` gives after these migrations."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.text_factory = bytes
        for migration in migrations:
            for statement in migration:
                connection.execute(statement)
        return schema(connection)
    finally:
        connection.close()
