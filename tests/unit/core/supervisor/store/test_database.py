"""A database file: what passes for one, and how its tables become newer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinfer.core.supervisor.store.contract import StoredRegistration
from xinfer.core.supervisor.store.database import Damaged, Database, Row, TooNew, read_contents
from xinfer.core.supervisor.store.schema import MIGRATIONS

ROWS = {
    "a": Row(3, b'{"uid":"a"}' * 40, parked=False),
    "gone": Row(9, None, parked=False),
    "b": Row(1, b'{"uid":"b"}', parked=True),
}
LATER = (*MIGRATIONS, ("ALTER TABLE supervisor ADD COLUMN note TEXT",))


def make(path: Path) -> None:
    made = Database(path, may_be_empty=True)
    made.begin_epoch(5, park=None)
    for uid, row in ROWS.items():
        made.put(uid, row)
    made.close()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "x.db"
    make(path)
    return path


def read(path: Path) -> dict[str, Row]:
    opened = Database(path)
    opened.close()
    return opened.rows


def test_rows_are_there_again(tmp_path: Path) -> None:
    make(tmp_path / "x.db")
    opened = Database(tmp_path / "x.db")
    assert (opened.rows, opened.epoch) == (ROWS, 5)
    assert opened.connection.execute("PRAGMA journal_mode").fetchone()[0] == b"wal"
    assert opened.connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    opened.close()


@given(data=st.data())
def test_flipped_bits_are_noticed_or_have_no_effect(
    tmp_path_factory: pytest.TempPathFactory, sound: Path, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("flipped") / "x.db"
    content = bytearray(sound.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1), "at")
        content[at] ^= data.draw(st.integers(1, 255), "flip")
    path.write_bytes(content)
    try:
        rows = read(path)
    except (Damaged, TooNew):
        assert path.read_bytes() == content
    else:
        assert rows == ROWS


@given(data=st.data())
def test_a_database_that_was_cut_short_is_noticed_and_left_alone(
    tmp_path_factory: pytest.TempPathFactory, sound: Path, data: st.DataObject
) -> None:
    whole = sound.read_bytes()
    content = whole[: data.draw(st.integers(0, len(whole) - 1), "length")]
    path = tmp_path_factory.mktemp("cut") / "x.db"
    path.write_bytes(content)
    try:
        rows = read(path)
    except Damaged:
        assert path.read_bytes() == content
    else:  # all that is missing is room
        assert rows == ROWS


def test_an_index_that_does_not_agree_with_its_table_is_noticed(
    tmp_path: Path, sound: Path
) -> None:
    content = sound.read_bytes()
    assert content.count(b"gone") == 2  # in the table, and in the index of its key
    for at in (content.index(b"gone"), content.rindex(b"gone")):
        path = tmp_path / f"{at}.db"
        path.write_bytes(content[:at] + b"gonf" + content[at + 4 :])
        with pytest.raises(Damaged):
            Database(path)


def _other_program(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE deployments (uid TEXT)")
    other.close()


def _other_tables(path: Path) -> None:
    make(path)
    with sqlite3.connect(path) as other:
        other.execute("ALTER TABLE deployments ADD COLUMN colour TEXT")
    other.close()


def _no_epoch(path: Path) -> None:
    make(path)
    with sqlite3.connect(path) as other:
        other.execute("DELETE FROM supervisor")
    other.close()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_text("not a database\n" * 500), "not a database"),
        (_other_program, "not a database of xinfer"),
        (_other_tables, "tables are not those"),
        (_no_epoch, "epoch is not a number"),
    ],
)
def test_what_is_not_ours_is_not_taken_for_it(
    tmp_path: Path, spoil: Callable[[Path], object], reason: str
) -> None:
    path = tmp_path / "x.db"
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(Damaged, match=reason):
        Database(path, may_be_empty=True)
    assert path.read_bytes() == before


def test_tables_become_newer_step_by_step_after_a_backup(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    make(path)
    before: list[tuple[int, object]] = []

    def back_up(database: Database, version: int) -> None:
        found = database.connection.execute("SELECT count(*) FROM deployments").fetchone()
        before.append((version, found[0]))

    opened = Database(path, back_up, migrations=LATER)
    assert opened.rows == ROWS
    assert opened.connection.execute("SELECT note FROM supervisor").fetchall() == [(None,)]
    opened.close()
    assert before == [(len(MIGRATIONS), 3)]
    Database(path, back_up, migrations=LATER).close()
    assert len(before) == 1


def test_declarations_are_there_again_also_in_a_database_of_before_there_were_any(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.db"
    first = Database(path, may_be_empty=True, migrations=MIGRATIONS)
    first.connection.execute("DROP TABLE declarations")
    first.connection.execute("DROP TABLE registrations")
    first.connection.execute("PRAGMA user_version = 1")
    first.close()
    opened = Database(path)
    assert opened.declarations == {}
    opened.declare("a", b"{}")
    opened.declare("b", b"[1]")
    opened.declare("a", None)
    opened.declare("b", b"[2]")
    assert opened.declarations == {"b": b"[2]"}
    opened.close()
    again = Database(path)
    assert again.declarations == {"b": b"[2]"}
    again.connection.execute("UPDATE declarations SET body = X'5B335D'")
    again.close()
    with pytest.raises(Damaged, match="declaration of b"):
        Database(path)


def test_registered_models_are_there_again_also_in_a_database_of_before_there_were_any(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.db"
    first = Database(path, may_be_empty=True)
    first.connection.execute("DROP TABLE registrations")
    first.connection.execute("PRAGMA user_version = 2")
    first.close()
    opened = Database(path)
    assert opened.registrations == {}
    mine, other = (StoredRegistration(name, "LLM", "{}") for name in ("模型", "other"))
    for registration in (mine, other, mine._replace(text='{"b": 1}')):
        opened.put_registration(registration)
    opened.delete_registration("other")
    assert opened.registrations == {"模型": mine._replace(text='{"b": 1}')}
    opened.close()
    again = Database(path)
    assert again.registrations == opened.registrations
    again.connection.execute("UPDATE registrations SET type = 'image'")
    again.close()
    with pytest.raises(Damaged, match="registered model"):
        Database(path)


def test_contents_are_read_of_any_version_without_touching_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    make(path)
    with sqlite3.connect(path) as older:
        older.execute("PRAGMA journal_mode = DELETE")
        older.execute("DROP TABLE declarations")
        older.execute("DROP TABLE registrations")
        older.execute("PRAGMA user_version = 1")
    older.close()
    before = path.read_bytes()
    assert read_contents(path) == (ROWS, {}, {}, 5)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / "empty.db").touch()
    with pytest.raises(Damaged, match="empty"):
        read_contents(tmp_path / "empty.db")


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    make(path)
    broken = (*LATER[:-1], (*LATER[-1], "INSERT INTO nowhere VALUES (1)"))
    with pytest.raises(Damaged, match="nowhere"):
        Database(path, migrations=broken)
    assert read(path) == ROWS


def test_tables_of_a_newer_version_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    make(path)
    Database(path, migrations=LATER).close()
    before = path.read_bytes()
    with pytest.raises(TooNew, match="newer xinfer"):
        Database(path)
    assert path.read_bytes() == before
