"""Build llama.cpp's own server, llama-server, from the source inside llama-cpp-python.

    python -m tools.llama_server llama-cpp-python==0.3.36

It is the same source, compiled with the same flags (`CMAKE_ARGS`, `CFLAGS`, `CXXFLAGS`), as the
wheel that `tools/compiled_wheel.py` makes, so that the two differ by what is around llama.cpp
alone. Built once for each version and set of flags, which takes minutes, and kept under
`$XINFER_PEERS` (default `~/.cache/xinfer/peers`). The last line printed is the program's path.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Mapping
from pathlib import Path

from tools.compiled_wheel import cache_key

_TOOLS = ("cmake>=3.28", "ninja>=1.11")
# Shared libraries, as in the wheel; they are found beside the program wherever it is moved.
_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DCMAKE_BUILD_RPATH_USE_ORIGIN=ON",
    "-DBUILD_SHARED_LIBS=ON",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
)


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where servers to compare with are kept."""
    return Path(environment.get("XINFER_PEERS", "~/.cache/xinfer/peers")).expanduser()


def llama_server(requirement: str, cache: Path, environment: Mapping[str, str]) -> Path:
    """The program out of the cache, built first where it is not there.

    Args:
        requirement: the version of llama-cpp-python whose source it is built from.

    Raises:
        subprocess.CalledProcessError: the source cannot be had, or does not compile.
    """
    kept = cache / f"llama-server-{cache_key(requirement, environment, _OPTIONS)}"
    program = kept / "llama-server"
    if program.exists():
        return program
    print(f"compiling llama-server; kept in {kept} for the next time", file=sys.stderr)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        making = Path(folder)
        source = _source(requirement, making)
        # Renamed whole, so that an interrupted build leaves nothing that looks done.
        _build(source, making, environment).rename(kept)
    return program


def _source(requirement: str, making: Path) -> Path:
    """llama.cpp's source, out of the sdist."""
    name = requirement.partition("==")[0]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", name]
    subprocess.run([*pip, "--dest", str(making), requirement], check=True)
    (archive,) = making.glob("*.tar.gz")
    with tarfile.open(archive) as sdist:
        sdist.extractall(making, filter="data")
    (llama_cpp,) = making.glob("*/vendor/llama.cpp")
    return llama_cpp


def _build(source: Path, making: Path, environment: Mapping[str, str]) -> Path:
    """Compile with tools of its own; the folder of the program and its libraries."""
    tools = making / "tools"
    venv.create(tools, with_pip=True)
    pip = [str(tools / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--disable-pip-version-check", *_TOOLS], check=True)
    path = f"{tools / 'bin'}{os.pathsep}{environment.get('PATH', '')}"
    found = {**environment, "PATH": path}
    cmake, build = str(tools / "bin" / "cmake"), str(making / "build")
    flags = [*_OPTIONS, *shlex.split(environment.get("CMAKE_ARGS", ""))]
    for command in (
        [cmake, "-S", str(source), "-B", build, "-G", "Ninja", *flags],
        [cmake, "--build", build, "--target", "llama-server"],
    ):
        # A compiler's output is long, and wanted only when it fails.
        done = subprocess.run(command, env=found, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(done.stdout[-8000:], done.stderr[-8000:], file=sys.stderr, flush=True)
            done.check_returncode()
    return Path(build) / "bin"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or "==" not in arguments[0]:
        print(__doc__, file=sys.stderr)
        return 2
    print(llama_server(arguments[0], cache_folder(os.environ), os.environ))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
