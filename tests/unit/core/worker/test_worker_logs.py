"""Replicas' output: the last lines in memory, capped files on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xinfer.core.worker import logs
from xinfer.core.worker.logs import LineLog, LogBook, LogFile


def test_only_the_last_lines_are_kept() -> None:
    log = LineLog(limit=3)
    log.append(b"1\n2\n3\n4\n")
    assert log.tail(10) == ["2", "3", "4"]
    assert log.tail(2) == ["3", "4"]
    assert log.tail(0) == []


def test_lines_and_characters_may_be_cut_anywhere() -> None:
    log = LineLog(limit=10)
    for byte in "é\n你好\nend".encode():
        log.append(bytes([byte]))
    assert log.tail(10) == ["é", "你好", "end"]


def test_bytes_that_are_no_utf8_are_marked() -> None:
    log = LineLog(limit=10)
    log.append(b"a\xffb\n")
    assert log.tail(1) == ["a\ufffdb"]


def test_a_progress_bar_is_the_line_a_terminal_shows() -> None:
    log = LineLog(limit=10)
    for percent in range(101):
        log.append(f"\r{percent} %".encode())
        assert log.tail(10) == [f"{percent} %"]
    log.append(b"\r\nnext\r\n")
    assert log.tail(10) == ["100 %", "next"]


def test_an_endless_line_is_broken_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_LINE", 4)
    log = LineLog(limit=10)
    log.append(b"abcdefghij")
    assert log.tail(10) == ["abcd", "efgh", "ij"]


def test_a_file_holds_what_was_written(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "new" / "directory", "m-0-aa")
    file.write(b"one\n")
    assert (tmp_path / "new" / "directory" / "m-0-aa.log").read_bytes() == b"one\n"
    file.close()


def test_a_file_is_capped_and_keeps_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_FILE_BYTES", 8)
    file = LogFile(tmp_path, "m-0-aa")
    for number in range(10):
        file.write(f"line{number}\n".encode())
    file.close()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "m-0-aa.log": "line9\n",
        "m-0-aa.log.1": "line8\n",
    }


def test_a_full_disk_is_told_once_and_does_not_hinder_the_end(tmp_path: Path) -> None:
    file = LogFile(tmp_path, "m-0-aa")
    file.close()
    with Path("/dev/full").open("ab") as full:
        file._file = full
        with pytest.raises(OSError, match="No space left"):
            file.write(b"lost\n")
        file.close()
        assert full.closed


def test_file_names_are_safe_short_and_keep_what_is_unique(tmp_path: Path) -> None:
    file = LogFile(tmp_path, "../" + "长" * 100 + "-0-abcdef")
    assert file.path.parent == tmp_path
    assert len(os.fsencode(file.path.name)) < 130
    assert file.path.name.endswith("-0-abcdef.log")
    file.close()


def test_the_oldest_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_FILES", 3)
    for age, name in enumerate(["new.log", "old.log", "older.log", "oldest.log.1"], start=1):
        path = tmp_path / name
        path.touch()
        os.utime(path, (10_000 - age, 10_000 - age))
    LogFile(tmp_path, "newest").close()
    assert {path.name for path in tmp_path.iterdir()} == {"newest.log", "new.log", "old.log"}


def test_a_live_log_is_kept_however_many_others_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_ENDED", 2)
    book = LogBook(limit=10)
    book.open("live").append(b"here\n")
    for number in range(4):
        book.open(f"ended {number}").append(b"bye\n")
        book.end(f"ended {number}")
    assert book.tail("live", 5) == ["here"]
    assert book.tail("ended 1", 5) == []
    assert book.tail("ended 2", 5) == book.tail("ended 3", 5) == ["bye"]


def test_an_unknown_replica_has_no_lines() -> None:
    assert LogBook(limit=10).tail("never", 5) == []
