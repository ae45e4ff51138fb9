"""From a language model and its launch options to vLLM's engine arguments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xinfer.errors import InvalidRequest
from xinfer.model.llm.vllm.options import FULL_ON_PROCESSORS, VllmOptions
from xinfer.model.vllm.arguments import cache_for, shared_arguments
from xinfer.model.vllm.installed import further
from xinfer.types.model import LoraAdapter, ModelSpec

_BATCH = 2048


def engine_arguments(spec: ModelSpec, options: VllmOptions, *, devices: int) -> dict[str, Any]:
    """Arguments of vLLM's `AsyncEngineArgs`.

    Args:
        devices: accelerators that the replica has; 0 is processors.

    Raises:
        InvalidRequest: the options do not go together.
    """
    accelerated = devices > 0
    length = options.length(spec.context_length, accelerated=accelerated)
    arguments = {
        **shared_arguments(spec, options, further(options, VllmOptions), devices=devices),
        "kv_cache_memory_bytes": options.kv_cache_memory_bytes,
        "kv_cache_dtype": options.kv_cache_dtype,
        "enable_prefix_caching": options.enable_prefix_caching,
        "enable_chunked_prefill": options.enable_chunked_prefill,
        "cpu_offload_gb": options.cpu_offload_gb,
        "seed": options.seed,
        # What is checked here is enforced there: llguidance compiles it in both places.
        "structured_outputs_config": {"backend": "guidance"},
        "max_logprobs": -1,  # the pipeline has limits of its own
    }
    if not accelerated and not options.enable_chunked_prefill:
        arguments |= {
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(length, options.max_num_batched_tokens or _BATCH),
        }
    if options.block_size is not None:
        arguments["block_size"] = options.block_size
    if not accelerated and options.kv_cache_memory_bytes is None:
        arguments["kv_cache_memory_bytes"] = processors_cache(spec, options)
    if options.lora:
        slots = options.max_loras or len(options.lora)
        if not accelerated:
            # Where adapters are computed on processors, tokens without one take the last slot's. It
            # has to stay empty.
            slots = len(options.lora) + 1
        arguments |= {
            "enable_lora": True,
            "max_loras": slots,
            "max_cpu_loras": max(slots, len(options.lora)),
            "max_lora_rank": options.max_lora_rank,
        }
    return arguments


def takes_seeds(options: VllmOptions, *, accelerated: bool) -> bool:
    """Whether a request may have a seed.

    vLLM takes back the random number of a step that computed a piece of a prompt only. Generators
    of processors cannot do that, and vLLM's processes would end.
    """
    return accelerated or not options.enable_chunked_prefill


def processors_cache(spec: ModelSpec, options: VllmOptions) -> int:
    """Bytes of KV cache on processors where the launch does not say."""
    requests = min(FULL_ON_PROCESSORS, options.max_num_seqs)
    length = options.length(spec.context_length, accelerated=False)
    return cache_for(spec, length * requests, sequences=requests, dtype=options.dtype)


def adapter_paths(lora: Mapping[str, str | LoraAdapter]) -> dict[str, str]:
    """Directories of LoRA adapters, by name.

    Raises:
        InvalidRequest: there is no adapter, or it has a scale, which vLLM does not take.
    """
    paths = {}
    for name, given in lora.items():
        adapter = LoraAdapter(given) if isinstance(given, str) else given
        path = Path(adapter.path).expanduser()
        if not (path / "adapter_config.json").is_file():
            raise InvalidRequest(
                f"LoRA adapter {name}: {path} has no adapter_config.json; expected a directory as "
                "PEFT saves one.",
                param="lora",
            )
        if adapter.scale != 1.0:
            raise InvalidRequest(
                f"LoRA adapter {name}: vLLM applies adapters as strongly as they say themselves. "
                "Leave scale out, or change lora_alpha in its adapter_config.json.",
                param="lora",
            )
        paths[name] = str(path)
    return paths
