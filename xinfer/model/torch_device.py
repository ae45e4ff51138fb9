"""Where PyTorch computes and in what precision, and what it says of a lack of memory.

It is imported when it is called: that takes seconds, and wakes drivers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from xinfer.errors import InvalidRequest, Unavailable

_NO_MEMORY = re.compile(
    r"(can't allocate memory|not enough memory|out of memory|ALLOC_FAILED|bad_alloc)", re.I
)
"""In the words of a RuntimeError: PyTorch has a class of its own for accelerators only."""


class Place(NamedTuple):
    """Where and in what precision a model is computed."""

    device: str
    """As PyTorch names it: cpu, cuda, cuda:1, mps, …"""
    dtype: Any
    """A torch.dtype, or auto for that of the files."""


def choose_place(device: str, dtype: str) -> Place:
    """By options of a launch and by what there is.

    Args:
        device: as of `choose_device`.
        dtype: a name of PyTorch's; `auto` is float32 on processors, elsewhere that of the files.

    Raises:
        InvalidRequest: as `choose_device`.
    """
    import torch

    chosen = choose_device(device)
    if dtype != "auto":
        return Place(chosen, getattr(torch, dtype))
    return Place(chosen, torch.float32 if torch.device(chosen).type == "cpu" else "auto")


def choose_device(wanted: str, *, param: str = "device") -> str:
    """The device of this name; `auto` is the first that is there of cuda, mps and cpu.

    Args:
        param: the option that names it, for the error.

    Raises:
        InvalidRequest: PyTorch finds no such device here.
    """
    import torch

    there = ["cpu"]
    if torch.backends.mps.is_available():
        there.insert(0, "mps")
    if torch.cuda.is_available():
        there.insert(0, "cuda")
    if wanted == "auto":
        return there[0]
    try:
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0].rstrip(". ")
        raise InvalidRequest(
            f"There is no device {wanted!r} here for PyTorch {torch.__version__}: {reason}. It has "
            f"{', '.join(there)}: give one of these, or leave {param} out.",
            param=param,
        ) from error
    return wanted


def is_no_memory(error: BaseException) -> bool:
    """Whether memory was asked for that there is not."""
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error)))


@contextmanager
def memory_errors(what: str) -> Iterator[None]:
    """Says that there is no memory for `what`, where PyTorch says so.

    Args:
        what: the end of a sentence; behind it, what to do.

    Raises:
        Unavailable: instead of PyTorch's own errors; its code is no_capacity.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_no_memory(error):
            raise
        raise Unavailable(f"There is not enough memory {what}", code="no_capacity") from error
