"""Copies of the database, and what becomes of a damaged one. Everything here blocks."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from xinfer.core.supervisor.store.database import (
    Contents,
    Damaged,
    Database,
    TooNew,
    read_contents,
)

logger = logging.getLogger(__name__)

KEPT = 5
"""Copies by epoch; one of each version of the tables stays for ever."""

_BY_EPOCH = re.compile(r"epoch-(\d+)\.db")


class Backups:
    """A directory of copies: one for each supervisor's time, as the database was at its end, and
    one from before each migration.

    All methods but `any` raise OSError or sqlite3.Error when the disk does not let them.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def any(self) -> bool:
        """Whether there is a copy of any kind."""
        return next(self._newest_first(), None) is not None

    def before_migration(self, database: Database, version: int) -> None:
        """Keep the database as it is in this version of its tables."""
        self._save(database, f"version-{version}.db")

    def keep(self, database: Database) -> None:
        """Replace this epoch's copy, and let go of those of long ago."""
        self._save(database, f"epoch-{database.epoch}.db")
        for path in list(self._by_epoch())[KEPT:]:
            path.unlink(missing_ok=True)

    def _save(self, database: Database, name: str) -> None:
        """Whole under its name, or not at all."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = self._directory / f"{name}.new"
        unfinished.unlink(missing_ok=True)
        try:
            database.connection.execute("VACUUM INTO ?", (str(unfinished),))
            _sync(unfinished)
            unfinished.replace(self._directory / name)
        finally:
            unfinished.unlink(missing_ok=True)
        _sync(self._directory)

    def restore(self, path: Path, when: str) -> tuple[Path, Path] | None:
        """Put the latest copy that is whole in the place of the damaged database at `path`, which
        is kept under a name with `when` in it.

        Returns:
            The copy, and where the damaged file is now; None when there is no whole copy, and then
            nothing was touched.
        """
        candidate = path.with_name(f"{path.name}.new")
        for copy in self._newest_first():
            shutil.copyfile(copy, candidate)
            try:
                Database(candidate).close()
            except (Damaged, TooNew) as error:
                logger.warning("The backup %s is of no use: %s", copy, error)
                continue
            _sync(candidate)
            aside = _set_aside(path, when)
            candidate.replace(path)
            _sync(path.parent)
            return copy, aside
        candidate.unlink(missing_ok=True)
        return None

    def latest(self) -> tuple[Path, Contents] | None:
        """The latest copy that is whole, and what it holds; nothing is changed."""
        for copy in self._newest_first():
            try:
                return copy, read_contents(copy)
            except (Damaged, TooNew) as error:
                logger.warning("The backup %s is of no use: %s", copy, error)
        return None

    def _newest_first(self) -> Iterator[Path]:
        yield from self._by_epoch()
        versions = self._directory.glob("version-*.db")
        yield from sorted(versions, key=lambda path: (len(path.name), path.name), reverse=True)

    def _by_epoch(self) -> Iterator[Path]:
        found = {}
        with contextlib.suppress(FileNotFoundError):
            for path in self._directory.iterdir():
                if match := _BY_EPOCH.fullmatch(path.name):
                    found[int(match[1])] = path
        yield from (found[epoch] for epoch in sorted(found, reverse=True))


def _set_aside(path: Path, when: str) -> Path:
    """Give the damaged file a second name, and its log the matching one: at no moment is there
    nothing at `path`, which would pass for a new home."""
    aside = path.with_name(f"{path.name}.damaged-{when}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{when}-{number}")
    try:
        os.link(path, aside)
    except OSError:  # not every file system has links
        shutil.copyfile(path, aside)
    log = Path(f"{path}-wal")
    if log.exists() and log.stat().st_size:
        log.rename(f"{aside}-wal")
    log.unlink(missing_ok=True)
    Path(f"{path}-shm").unlink(missing_ok=True)
    return aside


def _sync(path: Path) -> None:
    """Have a file, or the names in a directory, on the disk itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
