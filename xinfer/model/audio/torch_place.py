"""Where on PyTorch an audio model is computed, and in what precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from xinfer.errors import InvalidRequest, Unavailable
from xinfer.types.model import Memory


class Place(NamedTuple):
    device: str
    """cpu, cuda or mps."""
    dtype: Any
    """A torch.dtype, or auto for that of the files."""


def choose_place(device: str, dtype: str) -> Place:
    """By the options and by what there is.

    Raises:
        InvalidRequest: a device was asked for that is not there.
    """
    import torch

    there = ["cpu"]
    if torch.backends.mps.is_available():
        there.insert(0, "mps")
    if torch.cuda.is_available():
        there.insert(0, "cuda")
    chosen = there[0] if device == "auto" else device
    if chosen not in there:
        raise InvalidRequest(
            f"PyTorch finds no device {chosen} here; it has {', '.join(there)}. Give one of these, "
            "or leave device out.",
            param="device",
        )
    if dtype != "auto":
        return Place(chosen, getattr(torch, dtype))
    return Place(chosen, torch.float32 if chosen == "cpu" else "auto")


@contextmanager
def memory_errors(what: str) -> Iterator[None]:
    """Says that there is no memory for `what`, where PyTorch says so.

    Raises:
        Unavailable: instead of PyTorch's own errors.
    """
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _no_memory(what) from error
    except RuntimeError as error:  # of processors' memory there is no class of its own
        if "not enough memory" in str(error) or "out of memory" in str(error):
            raise _no_memory(what) from error
        raise


def _no_memory(what: str) -> Unavailable:
    return Unavailable(
        f"There is not enough memory {what}. Launch the model with fewer requests at once "
        "(concurrency), or on another device.",
        code="no_capacity",
    )


def undivided(memory: Memory) -> Memory:
    """Of an engine that puts a model onto one device."""
    return msgspec.structs.replace(memory, divides=False, spills=False)
