"""A package is compiled once for each version and set of flags."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tools import compiled_wheel


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Requirements that were compiled, by a compiler that only makes an empty wheel."""
    made: list[str] = []

    def run(command: list[str], *, cwd: Path, **_: Any) -> None:
        made.append(command[-1])
        if "broken" in command[-1]:
            raise subprocess.CalledProcessError(1, command)
        (cwd / "thing-1-py3-none-any.whl").touch()

    monkeypatch.setattr(compiled_wheel.subprocess, "run", run)
    return made


def test_the_second_time_it_comes_out_of_the_cache(tmp_path: Path, builds: list[str]) -> None:
    first = compiled_wheel.wheel_for("thing==1", tmp_path, {})
    assert compiled_wheel.wheel_for("thing==1", tmp_path, {}) == first
    assert builds == ["thing==1"]


def test_other_flags_and_versions_are_other_wheels(tmp_path: Path, builds: list[str]) -> None:
    wheels = {
        compiled_wheel.wheel_for("thing==1", tmp_path, {}),
        compiled_wheel.wheel_for("thing==1", tmp_path, {"CMAKE_ARGS": "-DGGML_CUDA=on"}),
        compiled_wheel.wheel_for("thing==2", tmp_path, {}),
    }
    assert len(wheels) == 3


def test_a_failed_build_leaves_nothing_that_looks_done(tmp_path: Path, builds: list[str]) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        compiled_wheel.wheel_for("broken==1", tmp_path, {})
    assert list(tmp_path.iterdir()) == []


def test_wheel_of_another_processor_is_not_taken(
    tmp_path: Path, builds: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compiled_wheel.wheel_for("thing==1", tmp_path, {})
    monkeypatch.setattr(compiled_wheel, "processor", lambda: "another one")
    assert compiled_wheel.wheel_for("thing==1", tmp_path, {}) != first


def test_processor_is_told_apart_by_its_instructions() -> None:
    assert compiled_wheel.processor() == compiled_wheel.processor() != ""
