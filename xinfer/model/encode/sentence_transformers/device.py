"""Where and in what precision a model is computed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from xinfer.errors import InvalidRequest, Unavailable
from xinfer.model.encode.sentence_transformers.options import SentenceTransformersOptions

_BUILDS = {"cuda": "cuda", "hip": "rocm"}
"""Names in torch/version.py that have a value where it was built for an accelerator."""


class Place(NamedTuple):
    device: str
    """cpu, cuda or mps."""
    dtype: Any
    """A torch.dtype, or auto for that of the files."""


def choose_place(options: SentenceTransformersOptions) -> Place:
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
    device = there[0] if options.device == "auto" else options.device
    if device not in there:
        raise InvalidRequest(
            f"PyTorch finds no device {device} here; it has {', '.join(there)}. Give one of these, "
            "or leave device out.",
            param="device",
        )
    if options.dtype != "auto":
        return Place(device, getattr(torch, options.dtype))
    return Place(device, torch.float32 if device == "cpu" else "auto")


def built_for() -> frozenset[str]:
    """Kinds of accelerator that the PyTorch installed here was built for; does not import it."""
    found = find_spec("torch")
    if found is None or found.origin is None:
        return frozenset()
    version = Path(found.origin).with_name("version.py")
    told = version.read_text(encoding="utf-8") if version.exists() else ""
    kinds = {
        kind for name, kind in _BUILDS.items() if re.search(rf"^{name}\b.*= *['\"]", told, re.M)
    }
    return frozenset(kinds | ({"metal"} if sys.platform == "darwin" else set()))


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
        f"There is not enough memory {what}. Launch the model with a smaller batch_tokens or "
        "max_tokens, or on another device.",
        code="no_capacity",
    )
