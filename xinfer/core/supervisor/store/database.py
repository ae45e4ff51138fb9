"""One database file: opened and checked, its rows, its changes. Everything here blocks."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from xinfer.core.supervisor.store.contract import StoredRegistration
from xinfer.core.supervisor.store.schema import (
    APPLICATION_ID,
    MIGRATIONS,
    Migration,
    expected_schema,
    schema,
)

BUSY_TIMEOUT = 2.0
"""Seconds for which another program's lock on the file is waited for."""

_OF_THE_MOMENT = frozenset(
    {
        "access permission denied",
        "attempt to write a readonly database",
        "database is locked",
        "database or disk is full",
        "disk I/O error",
        "out of memory",
        "unable to open database file",
    }
)
"""SQLite's words for what says nothing about the file; its codes are there from Python 3.11 on."""


class Damaged(Exception):
    """The file is not a whole database of ours; the message says in what way."""


class TooNew(Exception):
    """The database is of a later version of xinfer."""


class Row(NamedTuple):
    """What is kept of one uid."""

    generation: int
    body: bytes | None
    """The deployment as JSON; None once it was terminated."""
    parked: bool
    """Kept, but not wanted."""

    def checksum(self, uid: str) -> int:
        text = f"{uid}\0{self.generation}\0{int(self.parked)}\0"
        return zlib.crc32(text.encode() + (self.body or b"-"))


class Contents(NamedTuple):
    """All that is kept."""

    rows: dict[str, Row]
    """By uid."""
    declarations: dict[str, bytes]
    """As JSON, by uid."""
    registrations: dict[str, StoredRegistration]
    """By name."""
    epoch: int
    """Of the supervisor that last started with it."""


class Database:
    """An open database.

    Args:
        before_migration: called with the database and its version before that is raised.
        may_be_empty: whether an empty file is one to begin with, rather than a damaged one.

    Raises:
        Damaged: the file is there, and is no whole database of ours; it was not touched.
        TooNew: it is of a later version of xinfer.
        sqlite3.OperationalError: it cannot be read now: locked, or no permission.
    """

    def __init__(
        self,
        path: Path,
        before_migration: Callable[[Database, int], None] = lambda database, version: None,
        *,
        may_be_empty: bool = False,
        migrations: tuple[Migration, ...] = MIGRATIONS,
    ) -> None:
        self.path = path
        version = 0
        if path.exists():
            # Read-only, for SQLite would carry a log into a damaged file, or remove it.
            with _opened(f"{path.absolute().as_uri()}?mode=ro", uri=True) as connection:
                version = _check(connection, migrations)
                if version == len(migrations):
                    _read(connection)
        if not (version or may_be_empty):
            raise Damaged("it is empty")
        with contextlib.ExitStack() as stack:
            self.connection = stack.enter_context(_opened(str(path)))
            self._identity = _identity(path)
            self.connection.execute("PRAGMA synchronous = FULL")
            if version < len(migrations):
                self._migrate(version, before_migration, migrations)
            self.rows, self.declarations, self.registrations, self.epoch = _read(self.connection)
            self._closing = stack.pop_all()

    def _migrate(
        self,
        version: int,
        before_migration: Callable[[Database, int], None],
        migrations: tuple[Migration, ...],
    ) -> None:
        if version:
            before_migration(self, version)
        with self.transaction():
            _raise_version(self.connection, version, migrations)

    # Changes, each of which is committed when the method returns

    def begin_epoch(self, epoch: int, park: bool | None) -> None:
        """A supervisor starts. `park` sets every deployment aside, or wants it again if False;
        `rows` say so also when that cannot be written."""
        before = self.rows
        if park is not None:
            self.rows = {uid: row._replace(parked=park) for uid, row in before.items()}
        self._log_ahead()
        with self.transaction():
            self.connection.execute("UPDATE supervisor SET epoch = ?", (epoch,))
            for uid, row in self.rows.items():
                if row != before[uid]:
                    self._write(uid, row)
        self.epoch = epoch

    def _log_ahead(self) -> None:
        """Write to a log first; a mode of the file, which its copies do not have."""
        if self.connection.execute("PRAGMA journal_mode").fetchone()[0] != b"wal":
            self.connection.execute("PRAGMA journal_mode = WAL")

    def put(self, uid: str, row: Row) -> None:
        """Keep a row in place of an earlier one."""
        with self.transaction():
            self._write(uid, row)
        self.rows[uid] = row

    def _write(self, uid: str, row: Row) -> None:
        self.connection.execute(
            "INSERT INTO deployments VALUES (?, ?, ?, ?, ?) ON CONFLICT (uid) DO UPDATE SET "
            "generation = excluded.generation, body = excluded.body, parked = excluded.parked, "
            "checksum = excluded.checksum",
            (uid, row.generation, row.body, int(row.parked), row.checksum(uid)),
        )

    def declare(self, uid: str, body: bytes | None) -> None:
        """Keep a declaration in place of an earlier one; None forgets it."""
        with self.transaction():
            self.connection.execute("DELETE FROM declarations WHERE uid = ?", (uid,))
            if body is not None:
                self.connection.execute(
                    "INSERT INTO declarations VALUES (?, ?, ?)", (uid, body, _checksum(uid, body))
                )
        if body is None:
            self.declarations.pop(uid, None)
        else:
            self.declarations[uid] = body

    def put_registration(self, registration: StoredRegistration) -> None:
        """Keep a registered model in place of an earlier one of its name."""
        name, kind, text = registration
        with self.transaction():
            self.connection.execute(
                "INSERT OR REPLACE INTO registrations VALUES (?, ?, ?, ?)",
                (name, kind, text.encode(), _registration_checksum(registration)),
            )
        self.registrations[name] = registration

    def delete_registration(self, name: str) -> None:
        with self.transaction():
            self.connection.execute("DELETE FROM registrations WHERE name = ?", (name,))
        del self.registrations[name]

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is done inside, or nothing of it.

        Raises:
            FileNotFoundError: the file is not the one that was opened: a commit would be lost.
        """
        if _identity(self.path) != self._identity:
            raise FileNotFoundError("the file was removed or replaced while the server runs")
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def checkpoint(self) -> None:
        """Move everything from the write-ahead log into the file."""
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        self._closing.close()


def read_contents(path: Path, migrations: tuple[Migration, ...] = MIGRATIONS) -> Contents:
    """What is in a database that is neither changed nor kept open.

    Raises:
        Damaged, TooNew, sqlite3.OperationalError: as `Database`.
    """
    with (
        _opened(f"{path.absolute().as_uri()}?mode=ro", uri=True) as file,
        _opened(":memory:") as copy,
    ):
        version = _check(file, migrations)
        if not version:
            raise Damaged("it is empty")
        file.backup(copy)
        _raise_version(copy, version, migrations)
        return _read(copy)


@contextlib.contextmanager
def _opened(name: str, *, uri: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection; what SQLite says of the file inside is raised as `Damaged`."""
    connection = sqlite3.connect(
        name, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False, uri=uri
    )
    connection.text_factory = bytes  # damage must not fail in a decoder
    try:
        yield connection
    except UnicodeDecodeError as error:  # sqlite3 could not read its own message
        raise Damaged(error.object.decode(errors="replace")) from error
    except sqlite3.Error as error:
        if str(error) in _OF_THE_MOMENT:
            raise
        raise Damaged(str(error)) from error
    finally:
        connection.close()


def _check(connection: sqlite3.Connection, migrations: tuple[Migration, ...]) -> int:
    """The version of what is there, which is whole; 0 for nothing."""

    def number(pragma: str) -> int:
        return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])

    application, version = number("application_id"), number("user_version")
    found = schema(connection)
    if (application, version, found) == (0, 0, []):
        return 0
    if application != APPLICATION_ID:
        raise Damaged("it is not a database of xinfer")
    if version > len(migrations):
        raise TooNew(
            f"it was written by a newer xinfer (its tables have version {version}, and this one "
            f"knows {len(migrations)}), which can be installed again"
        )
    for (complaint,) in connection.execute("PRAGMA integrity_check(1)"):
        if complaint != b"ok":
            raise Damaged(complaint.decode(errors="replace"))
    if version < 1 or found != expected_schema(migrations[:version]):
        raise Damaged("its tables are not those that xinfer makes")
    return version


def _raise_version(
    connection: sqlite3.Connection, version: int, migrations: tuple[Migration, ...]
) -> None:
    for migration in migrations[version:]:
        for statement in migration:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(migrations)}")


def _read(connection: sqlite3.Connection) -> Contents:
    rows = {}
    for uid, generation, body, parked, checksum in connection.execute(
        "SELECT uid, generation, body, parked, checksum FROM deployments ORDER BY rowid"
    ):
        try:
            name = uid.decode()
            row = Row(generation, body, bool(parked))
            sound = row.checksum(name) == checksum
        except (AttributeError, TypeError, UnicodeDecodeError):
            name, sound = repr(uid), False
        if not sound:
            raise Damaged(f"the entry of {name} does not agree with its checksum")
        rows[name] = row
    declarations = {}
    for uid, body, checksum in connection.execute("SELECT uid, body, checksum FROM declarations"):
        try:
            name = uid.decode()
            sound = _checksum(name, body) == checksum
        except (AttributeError, TypeError, UnicodeDecodeError):
            name, sound = repr(uid), False
        if not sound:
            raise Damaged(f"the declaration of {name} does not agree with its checksum")
        declarations[name] = body
    epochs = connection.execute("SELECT epoch FROM supervisor").fetchall()
    if len(epochs) != 1 or not isinstance(epochs[0][0], int):
        raise Damaged("the supervisor's epoch is not a number")
    return Contents(rows, declarations, _read_registrations(connection), epochs[0][0])


def _checksum(uid: str, body: bytes) -> int:
    return zlib.crc32(f"{uid}\0".encode() + body)


def _read_registrations(connection: sqlite3.Connection) -> dict[str, StoredRegistration]:
    found = {}
    for name, kind, body, checksum in connection.execute(
        "SELECT name, type, body, checksum FROM registrations ORDER BY rowid"
    ):
        try:
            one = StoredRegistration(name.decode(), kind.decode(), body.decode())
            sound = _registration_checksum(one) == checksum
        except (AttributeError, UnicodeDecodeError):
            sound = False
        if not sound:
            raise Damaged(f"the registered model {name!r} does not agree with its checksum")
        found[one.name] = one
    return found


def _registration_checksum(registration: StoredRegistration) -> int:
    return zlib.crc32("\0".join(registration).encode())


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
