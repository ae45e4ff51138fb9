"""From a home to a store: damaged, locked, of a newer version, or on a disk that refuses."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.core.supervisor.store.support import (
    NOW,
    aside,
    backups,
    database,
    with_store,
)
from tests.unit.core.supervisor.support import deployment
from xinfer.core.supervisor.store import CannotStart, Store, open_store
from xinfer.core.supervisor.store import opening as opening_module
from xinfer.core.supervisor.store.database import Database
from xinfer.core.supervisor.store.schema import MIGRATIONS
from xinfer.errors import Unavailable
from xinfer.types.declaration import Declaration
from xinfer.types.deployment import Deployment, LaunchSpec


async def load(store: Store) -> list[Deployment]:
    return await store.load()


async def put_a(store: Store) -> None:
    await store.put(deployment("a"))


async def epoch(store: Store) -> int:
    return store.epoch


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def _flip(path: Path) -> None:
    content = path.read_bytes()
    at = content.index(b'{"uid":"a"')
    path.write_bytes(content[:at] + b"[" + content[at + 1 :])


DAMAGE = [
    pytest.param(_cut, id="cut short"),
    pytest.param(_flip, id="a flipped bit"),
    pytest.param(lambda path: path.write_text("no database" * 999), id="text"),
    pytest.param(lambda path: path.write_bytes(b""), id="emptied"),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_database_is_set_aside_and_its_backup_opened(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    with_store(tmp_path, put_a)
    damage(database(tmp_path))
    damaged = database(tmp_path).read_bytes()
    assert with_store(tmp_path, load, now=NOW + 1) == [deployment("a")]
    (kept,) = aside(tmp_path)
    assert kept.read_bytes() == damaged
    assert "is damaged" in caplog.text
    assert kept.name in caplog.text
    caplog.clear()
    assert with_store(tmp_path, load, now=NOW + 2) == [deployment("a")]
    assert "damaged" not in caplog.text


def test_damage_on_the_same_second_overwrites_nothing(tmp_path: Path) -> None:
    with_store(tmp_path, put_a)
    for text in ("one", "two"):
        database(tmp_path).write_text(text * 500)
        with_store(tmp_path, load)
    assert {path.read_text()[:3] for path in aside(tmp_path)} == {"one", "two"}


def test_the_log_of_a_damaged_database_goes_with_it(tmp_path: Path) -> None:
    with_store(tmp_path, put_a)
    database(tmp_path).write_text("x" * 500)
    log = database(tmp_path).with_name("xinfer.db-wal")
    log.write_text("frames")
    assert with_store(tmp_path, load) == [deployment("a")]
    kept = [path for path in aside(tmp_path) if path.name.endswith("-wal")]
    assert [path.read_text() for path in kept] == ["frames"]


def test_a_damaged_backup_is_passed_over_for_an_older_one(tmp_path: Path) -> None:
    with_store(tmp_path, put_a, now=NOW)
    with_store(tmp_path, put_a, now=NOW + 1)
    database(tmp_path).write_text("x" * 500)
    newest = tmp_path / "state" / "backups" / backups(tmp_path)[-1]
    newest.write_text("x" * 500)
    assert with_store(tmp_path, load, now=NOW + 2) == [deployment("a")]


@pytest.mark.parametrize("damage", DAMAGE[:3])
def test_a_damaged_database_without_a_backup_is_left_alone_and_everything_refused(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    with_store(tmp_path, put_a)
    shutil.rmtree(tmp_path / "state" / "backups")
    damage(database(tmp_path))
    damaged = database(tmp_path).read_bytes()

    async def look(store: Store) -> None:
        assert await store.load() == []
        with pytest.raises(Unavailable) as caught:
            await store.put(deployment("b", generation=2))
        assert caught.value.code == "store_damaged"
        assert f"mv {database(tmp_path)} {database(tmp_path)}.old" in caught.value.message
        with pytest.raises(Unavailable):
            await store.next_generation("b")
        await store.delete("a")
        assert await store.last_generation("a") == 0

    for start in range(2):  # the second time it is no better, and no worse
        with_store(tmp_path, look, now=NOW + start)
        assert database(tmp_path).read_bytes() == damaged
    assert aside(tmp_path) == []
    assert str(database(tmp_path)) in caplog.text
    database(tmp_path).rename(tmp_path / "old")
    assert with_store(tmp_path, load) == []
    with_store(tmp_path, put_a)


def test_the_epoch_grows_from_start_to_start_also_when_the_clock_goes_back(tmp_path: Path) -> None:
    epochs = [with_store(tmp_path, epoch, now=now) for now in (NOW, NOW + 1, NOW - 3600, NOW)]
    assert epochs == sorted(set(epochs))
    database(tmp_path).unlink()
    assert with_store(tmp_path, epoch, now=NOW + 7) > epochs[-1]


def test_a_second_store_on_a_home_is_refused_until_the_first_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xinfer.core.supervisor.store.lock.PATIENCE", 0.0)

    async def open_another(store: Store) -> None:
        with pytest.raises(CannotStart, match="in use by another server"):
            open_store(tmp_path, restore=True)

    with_store(tmp_path, open_another)
    with_store(tmp_path, load)


def test_a_locked_database_is_opened_and_only_changes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("xinfer.core.supervisor.store.database.BUSY_TIMEOUT", 0.01)
    with_store(tmp_path, put_a)
    other = sqlite3.connect(database(tmp_path), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def look(store: Store) -> None:
        assert await store.load() == [deployment("a")]
        with pytest.raises(Unavailable, match="locked"):
            await store.delete("a")
        other.execute("ROLLBACK")
        other.close()
        await store.delete("a")

    with_store(tmp_path, look)
    assert f"{database(tmp_path)} cannot be written: database is locked" in caplog.text
    assert with_store(tmp_path, load) == []


def test_a_home_of_another_user_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(directory: Path, *arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied", str(directory))

    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    with pytest.raises(CannotStart, match=f"chown -R 1234 {tmp_path} lets it"):
        open_store(tmp_path / "home", restore=None)


@pytest.fixture
def unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """A home with the model a, whose database another program has for itself."""
    monkeypatch.setattr("xinfer.core.supervisor.store.database.BUSY_TIMEOUT", 0.01)
    with_store(tmp_path, put_a)
    other = sqlite3.connect(database(tmp_path), isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    yield other
    other.close()


def test_of_a_database_that_cannot_even_be_read_the_backup_is_served_and_changes_are_refused(
    tmp_path: Path, unreadable: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    copies = {
        name: (tmp_path / "state" / "backups" / name).read_bytes() for name in backups(tmp_path)
    }

    async def look(store: Store) -> None:
        assert await store.load() == [deployment("a")]
        assert await store.last_generation("a") == 1
        assert await store.last_generation("b") == 0
        declaration = Declaration(spec=LaunchSpec(model_name="echo", model_uid="c"))
        for change in (
            store.put(deployment("b")),
            store.delete("a"),
            store.next_generation("b"),
            store.declare(declaration),
            store.undeclare("c"),
        ):
            with pytest.raises(Unavailable, match="could not be read") as caught:
                await change
            assert caught.value.code == "store_unavailable"
            assert str(database(tmp_path)) in caught.value.message
        with pytest.raises(CannotStart, match="in use by another server"):
            open_store(tmp_path, restore=True)

    with_store(tmp_path, look)
    assert "database is locked" in caplog.text
    assert with_store(tmp_path, epoch) > int(NOW * 1000)
    assert _copies(tmp_path) == copies
    unreadable.close()
    assert with_store(tmp_path, load) == [deployment("a")]


def _copies(home: Path) -> dict[str, bytes]:
    directory = home / "state" / "backups"
    return {name: (directory / name).read_bytes() for name in backups(home)}


def test_of_a_backup_that_is_served_nothing_is_wanted_without_restoring(
    tmp_path: Path, unreadable: sqlite3.Connection
) -> None:
    assert with_store(tmp_path, load, restore=False) == []
    assert with_store(tmp_path, load, restore=None) == [deployment("a")]


def test_a_database_that_cannot_be_read_and_has_no_backup_is_said_with_its_path(
    tmp_path: Path, unreadable: sqlite3.Connection
) -> None:
    shutil.rmtree(tmp_path / "state" / "backups")
    with pytest.raises(CannotStart) as caught:
        open_store(tmp_path, restore=True)
    assert str(database(tmp_path)) in str(caught.value)
    assert "locked" in str(caught.value)


def test_a_home_that_cannot_be_is_said_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStart) as caught:
        open_store(tmp_path / "file" / "home", restore=True)
    assert str(tmp_path / "file" / "home" / "state") in str(caught.value)
    assert "XINFERENCE_HOME" in str(caught.value)


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with_store(tmp_path, put_a)
    later = (*MIGRATIONS, ("CREATE TABLE later (x TEXT)",))
    Database(database(tmp_path), migrations=later).close()
    before = database(tmp_path).read_bytes()
    with pytest.raises(CannotStart, match="newer xinfer"):
        open_store(tmp_path, restore=True)
    assert database(tmp_path).read_bytes() == before
    assert aside(tmp_path) == []


def test_before_its_tables_become_newer_a_copy_is_kept_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_store(tmp_path, put_a)
    later = (*MIGRATIONS, ("CREATE TABLE later (x TEXT)",))

    def newer(path: Path, **options: object) -> Database:
        return Database(path, migrations=later, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(opening_module, "Database", newer)
    for start in range(7):
        assert with_store(tmp_path, load, now=NOW + start) == [deployment("a")]
    kept = Database(tmp_path / "state" / "backups" / f"version-{len(MIGRATIONS)}.db")
    assert list(kept.rows) == ["a"]
    kept.close()


def test_nobody_else_may_look_into_it(tmp_path: Path) -> None:
    with_store(tmp_path, put_a)
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0
