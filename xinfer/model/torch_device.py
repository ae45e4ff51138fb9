"""Where PyTorch computes, and what it says of a lack of memory. Imports it when called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from xinfer.errors import InvalidRequest, Unavailable


def choose_device(wanted: str) -> str:
    """cuda, mps or cpu; `auto` is the first of these that is there.

    Raises:
        InvalidRequest: PyTorch finds no such device here.
    """
    import torch

    there = ["cpu"]
    if torch.backends.mps.is_available():
        there.insert(0, "mps")
    if torch.cuda.is_available():
        there.insert(0, "cuda")
    device = there[0] if wanted == "auto" else wanted
    if device not in there:
        raise InvalidRequest(
            f"PyTorch finds no device {device} here; it has {', '.join(there)}. Give one of these, "
            "or leave device out.",
            param="device",
        )
    return device


@contextmanager
def memory_errors(what: str) -> Iterator[None]:
    """Says that there is no memory for `what`, where PyTorch says so.

    Args:
        what: the end of a sentence; behind it, what to do.

    Raises:
        Unavailable: instead of PyTorch's own errors; its code is no_capacity.
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
    return Unavailable(f"There is not enough memory {what}", code="no_capacity")
