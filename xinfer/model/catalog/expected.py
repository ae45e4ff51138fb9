"""What a model takes whose files are still on a hub."""

from __future__ import annotations

import msgspec

from xinfer.model.engine import EngineOptions
from xinfer.model.inspect.gguf_model import GGUF_FORMAT
from xinfer.model.memory import estimate
from xinfer.types.model import Memory, ModelSpec

_CONTEXT = 8192
"""Tokens of a request at the most, where the launch does not say."""
_REQUESTS = 4
"""Requests of that length that engines take memory for."""


def expected_memory(model: ModelSpec, options: EngineOptions) -> Memory:
    """By what its configuration or header says, and the options of any engine that has them.

    Once the files are here, the engine's own estimate is more exact.
    """
    context = getattr(options, "n_ctx", None) or min(model.context_length or _CONTEXT, _CONTEXT)
    requests = min(getattr(options, "n_parallel", _REQUESTS), _REQUESTS)
    memory = estimate(model, context, requests)
    if model.format != GGUF_FORMAT:
        return memory
    return msgspec.structs.replace(
        memory, spills=True, processors_only=getattr(options, "n_gpu_layers", -1) == 0
    )
