"""One process at a time has a home."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from xinfer.core.supervisor.store.contract import CannotStart
from xinfer.core.supervisor.store.lock import HomeLock

HOLD = """
import sys
from pathlib import Path
from xinfer.core.supervisor.store.lock import HomeLock
lock = HomeLock(Path(sys.argv[1]), "2025-01-31 12:00:00")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "home" / "state").mkdir(parents=True)
    return tmp_path / "home" / "state" / "lock"


def test_a_second_holder_hears_who_it_is_since_when_and_what_to_do(path: Path) -> None:
    with holder(path) as process, pytest.raises(CannotStart) as caught:
        HomeLock(path, "now", patience=0.0)
    message = str(caught.value)
    assert f"{path.parent.parent} is in use by another server" in message
    assert f"process {process.pid}, running since 2025-01-31 12:00:00" in message
    assert "XINFERENCE_HOME=" in message


def test_the_lock_of_a_process_that_was_killed_is_free(path: Path) -> None:
    with holder(path) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        assert re.search(str(process.pid), path.read_text())  # it had no time to clear up
        lock = HomeLock(path, "now", patience=0.0)
    assert str(os.getpid()) in path.read_text()
    lock.release()


def test_a_holder_that_is_just_leaving_is_waited_for(path: Path) -> None:
    with holder(path) as process:
        assert process.stdin is not None
        process.stdin.close()
        HomeLock(path, "now", patience=20.0).release()


def test_a_lock_that_was_released_is_free(path: Path) -> None:
    HomeLock(path, "now").release()
    HomeLock(path, "now", patience=0.0).release()


def test_a_holder_that_left_no_name_is_refused_all_the_same(path: Path) -> None:
    lock = HomeLock(path, "now")
    path.write_text("")
    with pytest.raises(CannotStart, match="in use by another server"):
        HomeLock(path, "later", patience=0.0)
    lock.release()
