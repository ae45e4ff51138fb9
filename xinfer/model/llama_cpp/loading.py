"""Brings a model into memory, with as much of it on accelerators as fits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import msgspec

from xinfer.errors import Unavailable
from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.llama_cpp.binding import devices, warn_of_unused_accelerator
from xinfer.model.llama_cpp.model import LlamaModel
from xinfer.model.llama_cpp.offload import layers_that_fit
from xinfer.model.llama_cpp.options import ModelOptions

logger = logging.getLogger(__name__)

_LESS = 0.8  # of the layers, on another try


class Offloaded(msgspec.Struct, frozen=True):
    """Where a model was put."""

    backend: str
    """Names of the accelerators, or cpu."""
    layers: int
    """Those on accelerators."""


def load_model(
    parts: Sequence[GgufMetadata],
    options: ModelOptions,
    *,
    kv_bytes: Sequence[int],
    progress: Callable[[float], None],
) -> tuple[LlamaModel, Offloaded]:
    """Load the model whose headers these are; blocks.

    Without a wish in the options, as many layers go to the accelerators as their free memory
    holds beside their share of the KV cache, and fewer on another try if that was too many after
    all.

    Args:
        kv_bytes: the KV cache's bytes in each layer.

    Raises:
        InvalidRequest, Unavailable: as `LlamaModel`.
    """
    accelerators = [device for device in devices() if device.accelerator]
    if not accelerators:
        warn_of_unused_accelerator()
    path = parts[0].path
    layers = options.n_gpu_layers
    chosen = layers < 0 and bool(accelerators)
    if chosen:
        free = [device.free for device in accelerators]
        if options.split_mode == "none":
            free = free[options.main_gpu : options.main_gpu + 1]
        layers = layers_that_fit(parts, kv_bytes, free)
    while True:
        try:
            model = LlamaModel(path, options, gpu_layers=layers, progress=progress)
            break
        except Unavailable as error:
            if not chosen or layers <= 0:
                raise
            layers = int(layers * _LESS)
            logger.warning("%s Trying with %d layers on the accelerator.", error, layers)
    on_accelerator = min(layers, model.layers + 1) if accelerators else 0
    backend = ", ".join(device.name for device in accelerators) if on_accelerator > 0 else "cpu"
    logger.info(
        "llama.cpp computes on %s: %d of %d layers are on accelerators, %d threads",
        backend,
        on_accelerator,
        model.layers + 1,
        options.threads,
    )
    return model, Offloaded(backend, max(0, on_accelerator))
