"""llama-server is built once for each version and set of flags."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tools import llama_server

REQUIREMENT = "llama-cpp-python==0.3.36"


class Shell:
    """Does what pip and cmake would leave behind, and remembers cmake's flags."""

    def __init__(self) -> None:
        self.compiles = True
        self.flags: list[str] = []

    def run(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        if "download" in command:
            self._download(Path(command[command.index("--dest") + 1]))
        elif "-S" in command:
            assert (Path(command[command.index("-S") + 1]) / "CMakeLists.txt").exists()
            self.flags = [part for part in command if part.startswith("-D")]
        elif "--build" in command and self.compiles:
            program = Path(command[command.index("--build") + 1]) / "bin" / "llama-server"
            program.parent.mkdir(parents=True)
            program.touch()
        failed = "--build" in command and not self.compiles
        return subprocess.CompletedProcess(command, int(failed), "", "error: no such header")

    def _download(self, folder: Path) -> None:
        source = folder / "source.txt"
        source.touch()
        with tarfile.open(folder / "llama_cpp_python-0.3.36.tar.gz", "w:gz") as sdist:
            sdist.add(source, "llama_cpp_python-0.3.36/vendor/llama.cpp/CMakeLists.txt")


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = Shell()
    monkeypatch.setattr(llama_server.subprocess, "run", shell.run)
    monkeypatch.setattr(llama_server.venv, "create", lambda *_, **__: None)
    return shell


def test_the_second_time_it_comes_out_of_the_cache(tmp_path: Path, shell: Shell) -> None:
    first = llama_server.llama_server(REQUIREMENT, tmp_path, {})
    shell.compiles = False
    assert llama_server.llama_server(REQUIREMENT, tmp_path, {}) == first
    assert first.exists()


def test_it_is_compiled_with_the_flags_of_the_wheel(tmp_path: Path, shell: Shell) -> None:
    plain = llama_server.llama_server(REQUIREMENT, tmp_path, {})
    environment = {"CMAKE_ARGS": "-DGGML_NATIVE=OFF -DGGML_CUDA=on"}
    other = llama_server.llama_server(REQUIREMENT, tmp_path, environment)
    assert other != plain
    assert shell.flags[-2:] == ["-DGGML_NATIVE=OFF", "-DGGML_CUDA=on"]


def test_a_failed_build_leaves_nothing_and_shows_what_the_compiler_said(
    tmp_path: Path, shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.compiles = False
    with pytest.raises(subprocess.CalledProcessError):
        llama_server.llama_server(REQUIREMENT, tmp_path, {})
    assert list(tmp_path.iterdir()) == []
    assert "no such header" in capsys.readouterr().err
