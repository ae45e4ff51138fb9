"""llama-cpp-python's low-level interface: imported late, its version known, its log in ours."""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from xinfer import system
from xinfer.model.accelerators import linked_accelerators

logger = logging.getLogger(__name__)

PACKAGE = "llama-cpp-python"
TESTED_VERSIONS = ("0.3.36",)

_ERROR, _WARNING, _CONTINUED = 4, 3, 5  # of enum ggml_log_level
_GPU, _IGPU = 1, 2  # of enum ggml_backend_dev_type


def installed() -> bool:
    """Whether the package is there; does not import it."""
    return find_spec("llama_cpp") is not None


@cache
def accelerators() -> frozenset[str] | None:
    """Kinds of accelerator that this build can compute on, by its files; None without it."""
    found = find_spec("llama_cpp")
    if found is None or found.origin is None:
        return None
    return linked_accelerators(sorted((Path(found.origin).parent / "lib").glob("*ggml*")))


@cache
def library() -> Any:
    """The module `llama_cpp.llama_cpp`, with llama.cpp set up. Takes about 0.2 s the first time.

    Raises:
        ImportError, OSError: the package or its compiled library is not usable here.
    """
    from llama_cpp import llama_cpp

    found = version("llama-cpp-python")
    if found not in TESTED_VERSIONS:
        logger.warning(
            "llama-cpp-python is version %s; tested is %s. Its low-level interface changes "
            "between versions: what differs can end the process.",
            found,
            ", ".join(TESTED_VERSIONS),
        )
    llama_cpp.llama_log_set(_log_callback(llama_cpp), ctypes.c_void_p(None))
    llama_cpp.llama_backend_init()
    return llama_cpp


@cache
def media_library() -> Any:
    """The module `llama_cpp.mtmd_cpp`, which computes pictures, set up as `library` is.

    Raises:
        ImportError, OSError: as of `library`.
    """
    library()
    from llama_cpp import mtmd_cpp

    mtmd_cpp.mtmd_helper_log_set(_log_callback(library()), ctypes.c_void_p(None))
    return mtmd_cpp


class Device(msgspec.Struct, frozen=True):
    """A device that this build of llama.cpp can compute on; memory in bytes."""

    name: str
    description: str
    accelerator: bool
    free: int
    total: int


def devices() -> list[Device]:
    """What llama.cpp finds here, the processor included."""
    library()
    from llama_cpp import _ggml

    ggml = _ggml.libggml
    for name, result, arguments in (
        ("ggml_backend_dev_count", ctypes.c_size_t, []),
        ("ggml_backend_dev_get", ctypes.c_void_p, [ctypes.c_size_t]),
        ("ggml_backend_dev_name", ctypes.c_char_p, [ctypes.c_void_p]),
        ("ggml_backend_dev_description", ctypes.c_char_p, [ctypes.c_void_p]),
        ("ggml_backend_dev_type", ctypes.c_int, [ctypes.c_void_p]),
        ("ggml_backend_dev_memory", None, [ctypes.c_void_p] + [ctypes.c_void_p] * 2),
    ):
        function = getattr(ggml, name)
        function.restype, function.argtypes = result, arguments
    found = []
    for index in range(ggml.ggml_backend_dev_count()):
        device = ggml.ggml_backend_dev_get(index)
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        ggml.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
        found.append(
            Device(
                ggml.ggml_backend_dev_name(device).decode(errors="replace"),
                ggml.ggml_backend_dev_description(device).decode(errors="replace"),
                ggml.ggml_backend_dev_type(device) in (_GPU, _IGPU),
                free.value,
                total.value,
            )
        )
    return found


def warn_of_unused_accelerator() -> None:
    """Say so, loudly, when this machine has an accelerator and this build cannot use it."""
    present = system.accelerator()
    if present is not None and not any(device.accelerator for device in devices()):
        logger.warning(
            "This machine has %s, and this build of llama-cpp-python has no back end for it: the "
            "model runs on the processor. Compile the package for it; docs/engines.md says how.",
            present,
        )


def computes_with_amx() -> bool:
    """Whether this build multiplies with AMX tiles here.

    Compiled by some versions of gcc, that path ends the process on quantised weights.
    """
    info: bytes = library().llama_print_system_info()
    return b"AMX_INT8 = 1" in info


_lines: list[str] | None = None
_callbacks: list[Any] = []  # referenced for ever: llama.cpp calls them until the process ends


@contextmanager
def error_lines() -> Iterator[list[str]]:
    """What llama.cpp logs as errors meanwhile, line by line; it is logged all the same."""
    global _lines
    lines: list[str] = []
    _lines = lines
    try:
        yield lines
    finally:
        _lines = None


def _log_callback(llama_cpp: Any) -> Any:
    """llama.cpp's log as ours: errors and warnings as such, the rest for debugging."""
    pending = ""
    last = 0

    def take(level: int, text: bytes, _: object) -> None:
        nonlocal pending, last
        if level != _CONTINUED:
            last = level
        *whole, pending = (pending + text.decode(errors="replace")).split("\n")
        for line in filter(None, map(str.rstrip, whole)):
            if last == _ERROR:
                logger.error("%s", line)
                if _lines is not None:
                    _lines.append(line)
            elif last == _WARNING:
                logger.warning("%s", line)
            else:
                logger.debug("%s", line)

    callback = llama_cpp.llama_log_callback(take)
    _callbacks.append(callback)
    return callback


class AbortFlag:
    """Ends a running computation of llama.cpp, from any thread.

    llama.cpp asks a C function between any two operations of a graph. That function is libc's
    strlen, and what it is given is a byte string of length 0 or 1: so asking costs nothing, and
    needs no interpreter.
    """

    def __init__(self, llama_cpp: Any) -> None:
        libc = ctypes.cdll.msvcrt if os.name == "nt" else ctypes.CDLL(None)
        self.callback = ctypes.cast(libc.strlen, llama_cpp.ggml_abort_callback)
        self._string = ctypes.create_string_buffer(2)
        self.data = ctypes.cast(self._string, ctypes.c_void_p)

    def set(self) -> None:
        self._string[0] = b"1"

    def clear(self) -> None:
        self._string[0] = b"\0"

    def is_set(self) -> bool:
        return self._string[0] != b"\0"
