"""The store on disk: what was committed is there again, whatever ended the process before."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from contextlib import suppress
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.unit.core.supervisor.store.support import (
    NOW,
    backups,
    database,
    opened,
    with_store,
)
from tests.unit.core.supervisor.support import deployment, run
from xinfer.core.supervisor.store import Store, open_store
from xinfer.core.supervisor.store.database import Database, Row
from xinfer.errors import Unavailable
from xinfer.types.deployment import Deployment

UIDS = st.sampled_from(["a", "b", "模型", "d'; --"])


async def load(store: Store) -> list[Deployment]:
    return await store.load()


async def put_two(store: Store) -> None:
    await store.put(deployment("a"))
    await store.put(deployment("b"))


async def put_many(store: Store) -> None:
    """More than the pages have room for that are there already."""
    for number in range(200):
        await store.put(deployment(f"{number}{'x' * 90}"))


class StoreMachine(RuleBasedStateMachine):
    """Any changes, with orderly and other ends between, against a dictionary."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.root = Path(tempfile.mkdtemp(prefix="xinfer-test-"))
        self.home = self.root / "0"
        self.kept: dict[str, Deployment] = {}
        self.generations: dict[str, int] = {}
        self.epoch = 0
        self.starts = 0
        self.start()

    def start(self) -> None:
        self.store = open_store(self.home, restore=True, unix_now=lambda: NOW)
        assert self.store.epoch > self.epoch
        self.epoch = self.store.epoch
        loaded = self.loop.run_until_complete(self.store.load())
        assert {each.uid: each for each in loaded} == self.kept
        for uid, generation in self.generations.items():
            assert self.loop.run_until_complete(self.store.last_generation(uid)) == generation

    @rule(uid=UIDS, replicas=st.integers(1, 9))
    def launch(self, uid: str, replicas: int) -> None:
        generation = self.loop.run_until_complete(self.store.next_generation(uid))
        assert generation > self.generations.get(uid, 0)
        made = deployment(uid, generation=generation, replicas=replicas)
        self.loop.run_until_complete(self.store.put(made))
        self.kept[uid], self.generations[uid] = made, generation

    @rule(uid=UIDS)
    def terminate(self, uid: str) -> None:
        self.loop.run_until_complete(self.store.delete(uid))
        self.kept.pop(uid, None)

    @rule()
    def stop(self) -> None:
        self.loop.run_until_complete(self.store.close())
        self.start()

    @rule()
    def crash(self) -> None:
        """Go on from the files as they are on disk now, with nothing closed."""
        before, store = self.home, self.store
        self.starts += 1
        self.home = self.root / str(self.starts)
        _copy(before, self.home)
        self.loop.run_until_complete(store.close())
        self.start()

    def teardown(self) -> None:
        self.loop.run_until_complete(self.store.close())
        self.loop.close()
        shutil.rmtree(self.root)


def _copy(source: Path, target: Path) -> None:
    """The files that are there; a backup that is being made may take its own away meanwhile."""
    target.mkdir()
    for path in source.iterdir():
        if path.is_dir():
            _copy(path, target / path.name)
        else:
            with suppress(FileNotFoundError):
                shutil.copyfile(path, target / path.name)


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = hypothesis.settings(max_examples=15, stateful_step_count=10)


def test_generations_never_go_back_and_begin_at_the_second_of_the_start(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as store:
            assert await store.last_generation("a") == 0
            assert await store.next_generation("a") == int(NOW)
            await store.put(deployment("a", generation=int(NOW) + 60))
            assert await store.next_generation("a") == int(NOW) + 61
            await store.delete("a")
            assert await store.last_generation("a") == int(NOW) + 60
            with pytest.raises(ValueError, match="is older than"):
                await store.put(deployment("a", generation=int(NOW) + 59))

    run(main)


def test_a_kept_deployment_of_another_version_is_read_for_what_is_known_of_it(
    tmp_path: Path,
) -> None:
    with_store(tmp_path, put_two)
    kept = Database(database(tmp_path))
    body = kept.rows["a"].body
    assert body is not None
    newer = body[:-1] + b',"placed_by":"the stars","priority":{"high":1}}'
    older = body.replace(b'"engine_reason":"",', b"")
    assert newer != body != older
    kept.put("a", Row(1, newer, parked=False))
    kept.put("b", Row(1, older.replace(b'"uid":"a"', b'"uid":"b"'), parked=False))
    kept.close()
    (a, b) = with_store(tmp_path, load)
    assert a == deployment("a")
    assert b.engine_reason == ""


def test_a_kept_deployment_that_is_not_understood_is_named_and_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with_store(tmp_path, put_two)
    kept = Database(database(tmp_path))
    kept.put("a", Row(1, b'{"uid":"a","replicas":"many"}', parked=False))
    kept.close()
    for _ in range(2):
        assert [each.uid for each in with_store(tmp_path, load)] == ["b"]
    assert "Model a was launched by another version of xinfer" in caplog.text


def test_a_start_without_restoring_keeps_what_was_launched_for_a_later_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def put_c(store: Store) -> list[Deployment]:
        await store.put(deployment("c"))
        return await store.load()

    with_store(tmp_path, put_two)
    with caplog.at_level("INFO"):
        assert with_store(tmp_path, put_c, restore=False) == [deployment("c")]
    assert "Not launched again, as XINFERENCE_RESTORE=0 says: a, b" in caplog.text
    # A supervisor that takes the place of one that died goes on with what that one wanted.
    assert with_store(tmp_path, load, restore=None) == [deployment("c")]
    restored = with_store(tmp_path, load, restore=True)
    assert restored == [deployment("a"), deployment("b"), deployment("c")]


def test_the_newest_backup_has_the_last_change_and_few_are_kept(tmp_path: Path) -> None:
    for start in range(8):
        with_store(tmp_path, put_two, now=NOW + start)
    names = backups(tmp_path)
    assert names == [f"epoch-{int((NOW + start) * 1000)}.db" for start in range(3, 8)]
    newest = Database(tmp_path / "state" / "backups" / names[-1])
    assert {uid: row.generation for uid, row in newest.rows.items()} == {"a": 1, "b": 1}
    newest.close()


async def _refused(store: Store) -> str:
    """A change that is refused in every way, and changes nothing; the message."""
    before = await store.load()
    with pytest.raises(Unavailable) as launch:
        await store.put(deployment("c"))
    with pytest.raises(Unavailable) as terminate:
        await store.delete("a")
    assert launch.value.code == terminate.value.code == "store_unavailable"
    assert launch.value.retry_after
    assert await store.load() == before
    assert await store.last_generation("c") == 0
    return launch.value.message


def test_a_change_while_another_program_holds_the_database_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xinfer.core.supervisor.store.database.BUSY_TIMEOUT", 0.01)

    async def main() -> None:
        async with opened(tmp_path) as store:
            await put_two(store)
            other = sqlite3.connect(database(tmp_path), isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            message = await _refused(store)
            assert str(database(tmp_path)) in message
            assert "database is locked" in message
            other.execute("ROLLBACK")
            other.close()
            await store.delete("a")

    run(main)
    assert with_store(tmp_path, load) == [deployment("b")]


@pytest.mark.parametrize(
    ("pragma", "reason"),
    [("max_page_count = 1", "full"), ("query_only = 1", "readonly")],
)
def test_a_change_that_the_disk_does_not_take_is_refused_until_it_does(
    tmp_path: Path, pragma: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Database] = []
    monkeypatch.setattr(Database, "checkpoint", lambda self: made.append(self))

    async def main() -> None:
        async with opened(tmp_path) as store:
            await put_two(store)
            connection = made[0].connection
            connection.execute(f"PRAGMA {pragma}")
            with pytest.raises(Unavailable, match=reason):
                await put_many(store)
            connection.execute("PRAGMA query_only = 0")
            connection.execute("PRAGMA max_page_count = 1073741823")
            await store.put(deployment("d"))

    run(main)
    assert deployment("d") in with_store(tmp_path, load)


def test_a_database_that_was_removed_while_it_is_in_use_takes_no_changes(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as store:
            await put_two(store)
            database(tmp_path).unlink()
            assert "removed or replaced" in await _refused(store)

    run(main)


def test_a_change_without_a_backup_is_made_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with opened(tmp_path) as store:
            where = tmp_path / "state" / "backups"
            shutil.rmtree(where)
            where.write_text("in the way")
            await put_two(store)
        where.unlink()

    run(main)
    assert "There is no backup of the last change" in caplog.text
    assert len(with_store(tmp_path, load)) == 2
