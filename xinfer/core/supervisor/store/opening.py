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
from xinfer.core.supervisor.store.database import Contents, Damaged, Database, TooNew
from xinfer.core.supervisor.store.lock import HomeLock
from xinfer.core.supervisor.store.read_only import ReadOnlyStore
from xinfer.core.supervisor.store.refusing import RefusingStore
from xinfer.core.supervisor.store.sqlite import RETRY_AFTER, SqliteStore
from xinfer.errors import Unavailable

logger = logging.getLogger(__name__)

DIRECTORY = "state"
NAME = "xinfer.db"


def open_store(
    home: Path, *, restore: bool | None, unix_now: Callable[[], float] = time.time
) -> Store:
    """The store of this home, which nobody else then gets. Blocks.

    A damaged database is set aside and its latest backup opened. Without one it stays as it is,
    and the store that is returned knows nothing and refuses everything. Where the database cannot
    be read for now, it is the latest backup that is served, and changes are refused.

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
        except TooNew as error:
            raise _cannot_use(directory / NAME, error) from error
        except (sqlite3.Error, OSError) as error:
            copy = _open_backup(directory / NAME, backups, error)
            if copy is None:
                raise _cannot_use(directory / NAME, error) from error
            return _read_only(directory / NAME, copy, error, lock, now, restore)
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


def _open_backup(path: Path, backups: Backups, error: Exception) -> tuple[Path, Contents] | None:
    try:
        return backups.latest()
    except (sqlite3.Error, OSError) as another:
        logger.error("%s: %s; nor can its backups be read: %s", path, error, another)
        return None


def _read_only(
    path: Path,
    copy: tuple[Path, Contents],
    error: Exception,
    lock: HomeLock,
    now: float,
    restore: bool | None,
) -> ReadOnlyStore:
    backup, contents = copy
    refusal = Unavailable(
        f"{path} could not be read when the server started ({_reason(path, error)}), so its backup "
        f"{backup} is served, and nothing that would have to be kept is done. Mend that, and start "
        "the server again.",
        code="store_unavailable",
        retry_after=RETRY_AFTER,
    )
    logger.error("%s What was launched or terminated after that was made is not known.", refusal)
    if restore is not None:
        rows = {uid: row._replace(parked=not restore) for uid, row in contents.rows.items()}
        contents = contents._replace(rows=rows)
    return ReadOnlyStore(backup, contents, refusal, lock, epoch=_epoch(contents.epoch, now))


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
    return CannotStart(
        f"What is launched cannot be kept in {path}: {_reason(path, error)}. Mend that, or set "
        "XINFERENCE_HOME to another directory."
    )


def _reason(path: Path, error: Exception) -> str:
    """SQLite does not say why a file cannot be opened."""
    if isinstance(error, PermissionError):
        place = next(each for each in path.parents if os.path.exists(each))
        user = os.geteuid()
        return (
            f"{error}; {place} is user {place.stat().st_uid}'s and this process is user {user}'s: "
            f"chown -R {user} {place} lets it"
        )
    if os.access(path.parent, os.W_OK):
        return str(error)
    return f"{error}; {path.parent} cannot be written"
