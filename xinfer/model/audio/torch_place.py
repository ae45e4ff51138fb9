"""Where on PyTorch an audio model is computed, and in what precision."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from xinfer.model.torch_device import choose_device
from xinfer.types.model import Memory

LESS_AT_ONCE = "Launch the model with fewer requests at once (concurrency), or on another device."
"""What helps where there is no memory."""


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

    chosen = choose_device(device)
    if dtype != "auto":
        return Place(chosen, getattr(torch, dtype))
    return Place(chosen, torch.float32 if chosen == "cpu" else "auto")


def undivided(memory: Memory) -> Memory:
    """Of an engine that puts a model onto one device."""
    return msgspec.structs.replace(memory, divides=False, spills=False)
