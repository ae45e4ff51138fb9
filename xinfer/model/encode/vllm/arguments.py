"""From an embedding or rerank model and its launch options to vLLM's engine arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xinfer.errors import InvalidRequest
from xinfer.model.encode.vllm.options import VllmPoolingOptions
from xinfer.model.files import LocalFiles
from xinfer.model.inspect.encoders import read_modules
from xinfer.model.inspect.json_files import Listing
from xinfer.model.vllm.arguments import cache_for, shared_arguments
from xinfer.model.vllm.installed import further
from xinfer.types.model import ModelSpec

_STEPS = frozenset({"Transformer", "Pooling", "Dense", "Normalize"})
_POOLINGS = {"mean": "MEAN", "cls": "CLS", "last": "LAST"}
_BATCH = 2048


def engine_arguments(
    spec: ModelSpec, options: VllmPoolingOptions, *, devices: int
) -> dict[str, Any]:
    """Arguments of vLLM's `EngineArgs`.

    Args:
        devices: accelerators that the replica has; 0 is processors.

    Raises:
        InvalidRequest: vLLM does not pool as the model's files say, or the options do not go
            together.
    """
    given = further(options, VllmPoolingOptions)
    arguments = shared_arguments(spec, options, given, devices=devices)
    arguments["runner"] = "pooling"
    arguments["kv_cache_memory_bytes"] = options.kv_cache_memory_bytes
    if spec.type == "embedding":
        check_steps(spec)
        told = spec.encode
        arguments["convert"] = "embed"
        arguments["pooler_config"] = {
            "seq_pooling_type": _POOLINGS[pooling_of(spec)],
            "use_activation": bool(told and told.normalised),
        }
    else:
        arguments["convert"] = "classify"
    if not devices:
        if options.dtype == "auto":
            arguments["dtype"] = "float32"
        if options.kv_cache_memory_bytes is None:
            tokens = max(options.max_num_batched_tokens or _BATCH, arguments["max_model_len"] or 0)
            arguments["kv_cache_memory_bytes"] = cache_for(
                spec, tokens, sequences=1, dtype=arguments["dtype"]
            )
    return arguments


def check_steps(spec: ModelSpec) -> None:
    """
    Raises:
        InvalidRequest: the files name a step of sentence-transformers that vLLM leaves out.
    """
    modules = read_modules(Listing(LocalFiles(Path(spec.path))))
    left_out = sorted({module.kind for module in modules} - _STEPS)
    if left_out:
        raise InvalidRequest(
            f"{spec.name} computes vectors with {', '.join(left_out)}; vLLM knows "
            f"{', '.join(sorted(_STEPS))}. Launch it with --model-engine sentence_transformers.",
            param="model_engine",
        )


def pooling_of(spec: ModelSpec) -> str:
    """mean, cls or last: as sentence-transformers takes the model's files.

    Raises:
        InvalidRequest: they say something else, which vLLM does not do.
    """
    pooling = (spec.encode.pooling if spec.encode is not None else "") or "mean"
    if pooling not in _POOLINGS:
        raise InvalidRequest(
            f"{spec.name} makes a text's vector by {pooling}; vLLM does {', '.join(_POOLINGS)}. "
            "Launch it with --model-engine sentence_transformers.",
            param="model_engine",
        )
    return pooling
