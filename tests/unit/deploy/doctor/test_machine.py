"""The home directory, its disk, and the limits of processes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from xinfer.deploy.doctor.finding import State
from xinfer.deploy.doctor.machine import examine_home, examine_limits, examine_memory


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def disk(monkeypatch: pytest.MonkeyPatch, total: int, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(total, total - free, free))


def test_a_home_that_is_not_there_yet_is_judged_by_where_it_will_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk(monkeypatch, 100 << 30, 50 << 30)
    (found,) = examine_home(tmp_path / "a" / "b")
    assert (found.state, "50 GiB free" in found.text) == (State.OK, True)


def test_a_home_of_another_user_has_the_command_that_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    (found,) = examine_home(tmp_path / "home")
    assert found.state is State.FAULT
    assert found.fix.startswith(f"chown -R 1234 {tmp_path},")


def test_a_full_disk_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch, 100 << 30, 1 << 30)
    (found,) = examine_home(tmp_path)
    assert (found.state, "remove-cache" in found.fix) == (State.FAULT, True)


def test_few_open_files_are_a_fault() -> None:
    assert [one.fix[:14] for one in examine_limits(files=256)] == ["ulimit -n 6553"]
    assert not list(examine_limits(files=65536))


def test_little_shared_memory_matters_from_two_gpus_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk(monkeypatch, 64 << 20, 64 << 20)
    assert not list(examine_limits(65536, tmp_path, gpus=1))
    (found,) = examine_limits(65536, tmp_path, gpus=2)
    assert "--shm-size" in found.fix


def test_memory_is_told() -> None:
    (found,) = examine_memory()
    assert "GiB of memory free" in found.text
