"""From a home to its store: the lock, the database, and what is done when that is damaged."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from xinfer.core.supervisor.store.backups import Backups
from xinfer.core.supervisor.store.contract import CannotStart, Store
from xinfer.core.supervisor.store.database import Damaged, Database, TooNew
from xinfer.core.supervisor.store.lock import HomeLock
from xinfer.core.supervisor.store.refusing import RefusingStore
from xinfer.core.supervisor.store.sqlite import SqliteStore
from xinfer.errors import Unavailable

logger = logging.getLogger(__name__)

DIRECTORY = "state"
NAME = "xinfer.db"


def open_store(
    home: Path, *, restore: bool | None, unix_now: Callable[[], float] = time.time
) -> Store:
    """The store of this home, which nobody else then gets. Blocks.

    A damaged database is set aside and its latest backup opened. Without one it stays as it is,
    and the store that is returned knows nothing and refuses everything.

    Args:
        restore: of a server that starts: whether what was launched is wanted again, or is kept for
            a later start. None for a supervisor that takes the place of one that died.

    Raises:
        CannotStart: another supervisor has this home, or the disk does not let us.
    """
    now = unix_now()
    when = time.localtime(now)
    directory = home / DIRECTORY
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = HomeLock(directory / "lock", since=time.strftime("%Y-%m-%d %H:%M:%S", when))
    except OSError as error:
        raise _cannot_use(directory, error) from error
    try:
        backups = Backups(directory / "backups")
        try:
            database = _open(directory / NAME, backups, time.strftime("%Y%m%d-%H%M%S", when))
        except Damaged as damage:
            refusal = _refusal(directory / NAME, damage)
            logger.error("%s", refusal.message)
            return RefusingStore(refusal, lock, epoch=_epoch(0, now))
        except (TooNew, sqlite3.Error, OSError) as error:
            raise _cannot_use(directory / NAME, error) from error
        epoch = _epoch(database.epoch, now)
        _begin(database, backups, epoch, None if restore is None else not restore)
        if restore is False:
            _list_parked(database)
    except BaseException:
        lock.release()
        raise
    return SqliteStore(database, backups, lock, epoch=epoch, first_generation=int(now))


def _epoch(last: int, now: float) -> int:
    """Milliseconds of the start, so that it grows even when the store is lost."""
    return max(last + 1, int(now * 1000))


def _open(path: Path, backups: Backups, when: str) -> Database:
    # A file that was moved away is the wish to begin anew; one that was emptied is not.
    may_be_empty = not path.exists() or not backups.any()
    try:
        return Database(path, before_migration=backups.before_migration, may_be_empty=may_be_empty)
    except Damaged as damage:
        restored = backups.restore(path, when)
        if restored is None:
            raise
        copy, aside = restored
        logger.error(
            "%s is damaged (%s). It is kept as %s, and the backup %s has taken its place: what was "
            "launched or terminated after that was made is not known.",
            path,
            damage,
            aside.name,
            copy,
        )
        return Database(path, before_migration=backups.before_migration)


def _begin(database: Database, backups: Backups, epoch: int, park: bool | None) -> None:
    try:
        database.begin_epoch(epoch, park)
        database.checkpoint()
        backups.keep(database)
    except (sqlite3.Error, OSError) as error:
        logger.error(
            "%s cannot be written: %s. What it holds is launched; launching and terminating are "
            "refused until that is mended.",
            database.path,
            error,
        )


def _list_parked(database: Database) -> None:
    parked = sorted(uid for uid, row in database.rows.items() if row.body is not None)
    if parked:
        logger.info("Not launched again, as XINFERENCE_RESTORE=0 says: %s", ", ".join(parked))


def _refusal(path: Path, damage: Damaged) -> Unavailable:
    return Unavailable(
        f"{path} is damaged ({damage}), and there is no backup. What was launched before is not "
        "known, and nothing is launched, so that the file is not written over. Mend it, or move it "
        f"away to begin anew (mv {path} {path}.old), and start the server again.",
        code="store_damaged",
    )


def _cannot_use(path: Path, error: Exception) -> CannotStart:
    # SQLite does not say why a file cannot be opened.
    why = "" if os.access(path.parent, os.W_OK) else f" ({path.parent} cannot be written)"
    return CannotStart(
        f"What is launched cannot be kept in {path}: {error}{why}. Mend that, or set "
        "XINFERENCE_HOME to another directory."
    )
