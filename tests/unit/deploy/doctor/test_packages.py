"""What is installed, what is missing, and what cannot be loaded."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from xinfer.deploy.doctor.finding import Finding, State
from xinfer.deploy.doctor.packages import LIBRARIES, examine_packages, loading_error
from xinfer.model.engine import BUILTIN


def examined(versions: dict[str, str], **errors: str) -> list[Finding]:
    return list(examine_packages(versions.get, lambda module: errors.get(module, "")))


def test_every_engine_but_echo_has_its_library_and_every_extra_exists() -> None:
    assert {name for library in LIBRARIES for name in library.engines} == BUILTIN.keys() - {"echo"}
    extras = importlib.metadata.metadata("xinfer").get_all("Provides-Extra") or []
    assert {library.extra for library in LIBRARIES} - {""} <= set(extras)


def test_what_is_not_installed_is_no_fault_and_has_the_line_that_brings_it() -> None:
    found = [one for one in examined({"xllamacpp": "1"}) if "vllm" in one.text]
    assert [(one.state, one.fix) for one in found] == [(State.ABSENT, "pip install 'xinfer[vllm]'")]


def test_the_engine_of_the_base_install_has_to_be_there() -> None:
    assert [one.fix for one in examined({}) if one.state is State.FAULT] == ["pip install xinfer"]


def test_xinference_beside_it_is_a_fault() -> None:
    faults = [one for one in examined({"xllamacpp": "1", "xinference": "4.1.0"}) if one.fix]
    assert faults[0].state is State.FAULT
    assert "4.1.0" in faults[0].text
    assert faults[0].fix.startswith("pip uninstall xinference")


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        ("ImportError: libgomp.so.1: cannot open shared object file", "apt-get install libgomp1"),
        ("ImportError: undefined symbol: x", "pip install --force-reinstall --no-deps xllamacpp"),
    ],
)
def test_a_library_that_cannot_be_loaded_says_why_and_what_mends_it(error: str, fix: str) -> None:
    found = [one for one in examined({"xllamacpp": "7"}, xllamacpp=error) if error in one.text]
    assert [(one.state, one.fix[: len(fix)]) for one in found] == [(State.FAULT, fix)]


def test_a_module_is_tried_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "crashes.py").write_text("import os\nos.abort()\n")
    (tmp_path / "raises.py").write_text("raise ImportError('libx.so is missing')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert loading_error("json") == ""
    assert loading_error("raises") == "ImportError: libx.so is missing"
    assert "status -6" in loading_error("crashes")
