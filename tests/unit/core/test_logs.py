"""Lines of log: their two formats, their files, and what cannot be smuggled into them."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xinfer.core import logs
from xinfer.settings import Settings


@pytest.fixture(autouse=True)
def root() -> Iterator[logging.Logger]:
    """The root logger, with the handlers it had put back in the end."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []  # `configure` closes those it finds
    yield root
    for handler in root.handlers:
        handler.close()
    root.handlers = before
    root.setLevel(level)


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    # pytest sets sys.stderr anew between a fixture and its test.
    monkeypatch.setattr(logs, "sys", SimpleNamespace(stderr=stream, exc_info=sys.exc_info))
    return stream


def configure(home: Path, role: str = "api", **settings: Any) -> None:
    logs.configure(Settings(home=str(home), **settings), role)


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def fail() -> None:
    raise RuntimeError("broken\n2026-01-01 root 1 INFO forged")


def test_a_text_line_says_when_who_and_what_on_console_and_in_the_file(
    tmp_path: Path, console: io.StringIO
) -> None:
    configure(tmp_path)
    logging.getLogger("xinfer.x").warning("Something %d", 1)
    line = console.getvalue()
    when = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    assert re.fullmatch(rf"{when} xinfer\.x {os.getpid()} WARNING  Something 1\n", line)
    assert (tmp_path / "logs" / "api.log").read_text() == line


def test_a_json_line_has_the_fields_and_only_those_there_are(
    tmp_path: Path, console: io.StringIO
) -> None:
    configure(tmp_path, log_format="JSON")
    log = logging.getLogger("xinfer.x")
    log.info("plain\nwith %s", "中文")
    token = logs.request_id.set("abc")
    try:
        fail()
    except RuntimeError:
        log.exception("It failed")
    logs.request_id.reset(token)
    log.info("of another", extra={"request_id": "def"})
    first, second, third = map(json.loads, console.getvalue().splitlines())
    assert set(first) == {"timestamp", "level", "logger", "pid", "role", "message"}
    assert first["role"] == "api"
    assert first["message"] == "plain\nwith 中文"
    assert first["timestamp"].endswith("Z")
    assert (second["level"], second["request_id"]) == ("ERROR", "abc")
    assert second["exception"].startswith("Traceback")
    assert third["request_id"] == "def"
    assert (tmp_path / "logs" / "api.log").read_text() == console.getvalue()


def test_nothing_in_a_message_or_an_exception_can_begin_a_record(
    tmp_path: Path, console: io.StringIO
) -> None:
    configure(tmp_path)
    log = logging.getLogger("xinfer.x")
    log.info("name a\n2026-01-01 root 1 INFO forged \x1b[31m\u2028")
    try:
        fail()
    except RuntimeError:
        log.exception("It failed")
    first, second, *rest = console.getvalue().splitlines()
    assert first.endswith(r"name a\n2026-01-01 root 1 INFO forged \x1b[31m\u2028")
    assert second.endswith("It failed")
    assert rest
    assert all(line.startswith("  ") for line in rest)


def test_the_request_id_stands_once_in_a_text_line(tmp_path: Path, console: io.StringIO) -> None:
    configure(tmp_path)
    token = logs.request_id.set("abc-1")
    logging.getLogger("xinfer.x").info("without")
    logging.getLogger("xinfer.x").info("Request abc-1 failed")
    logs.request_id.reset(token)
    logging.getLogger("xinfer.x").info("after")
    ends = [line.partition("INFO     ")[2] for line in console.getvalue().splitlines()]
    assert ends == ["abc-1 without", "Request abc-1 failed", "after"]


def test_files_are_rotated_by_size_and_count(tmp_path: Path, console: io.StringIO) -> None:
    configure(tmp_path, log_file_bytes=1000, log_files=2)
    for number in range(100):
        logging.getLogger("xinfer.x").info("%d %s", number, "x" * 100)
    files = sorted((tmp_path / "logs").glob("*.log*"))
    assert [file.name for file in files] == ["api.log", "api.log.1", "api.log.2"]
    assert all(file.stat().st_size <= 1000 for file in files)
    assert "99 x" in files[0].read_text()


@pytest.mark.parametrize(("role", "settings"), [("api", {"log_files": 0}), (logs.REPLICA, {})])
def test_without_files_there_is_only_the_console(
    tmp_path: Path, console: io.StringIO, role: str, settings: dict[str, Any]
) -> None:
    configure(tmp_path, role, **settings)
    logging.getLogger("xinfer.x").info("said")
    assert "said" in console.getvalue()
    assert list(tmp_path.iterdir()) == []


def test_two_processes_of_a_role_have_a_file_each_and_the_next_takes_it_over(
    tmp_path: Path, console: io.StringIO
) -> None:
    program = (
        "import logging, sys\nfrom xinfer.core import logs\nfrom xinfer.settings import Settings\n"
        f"logs.configure(Settings(home={str(tmp_path)!r}), 'api')\n"
        "logging.info('other'); print('up', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"up\n"
        configure(tmp_path)
        logging.getLogger("xinfer.x").info("this")
        other.communicate()
    written = {file.name: file.read_text() for file in (tmp_path / "logs").glob("*.log")}
    assert "other" in written["api.log"]
    assert "this" not in written["api.log"]
    assert "this" in written["api-2.log"]
    configure(tmp_path)
    logging.getLogger("xinfer.x").info("now first")
    assert "now first" in (tmp_path / "logs" / "api.log").read_text()


def test_a_home_that_cannot_be_written_leaves_the_console(
    tmp_path: Path, console: io.StringIO
) -> None:
    (tmp_path / "logs").write_text("in the way")
    configure(tmp_path)
    assert "There is no log file of this process" in console.getvalue()


def test_a_full_disk_is_said_once_and_ends_nothing(tmp_path: Path, console: io.StringIO) -> None:
    configure(tmp_path)
    (handler,) = (each for each in logging.getLogger().handlers if hasattr(each, "baseFilename"))
    handler.stream.close()  # type: ignore[attr-defined]
    handler.stream = Full()  # type: ignore[attr-defined]
    for _ in range(3):
        logging.getLogger("xinfer.x").info("lost")
    assert console.getvalue().count("misses lines") == 1
    assert console.getvalue().count("lost") == 3
