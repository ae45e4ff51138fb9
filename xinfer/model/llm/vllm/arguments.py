"""From a model and its launch options to vLLM's engine arguments and environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xinfer.errors import InvalidRequest
from xinfer.model.llm.vllm.options import FULL_ON_PROCESSORS, VllmOptions
from xinfer.model.memory import cache_bytes, guessed_shape
from xinfer.types.model import LoraAdapter, ModelSpec

FORMATS = ("pytorch", "gptq", "awq", "fp8", "fp4", "compressed-tensors", "bnb")

_BYTES = {"float32": 4, "float": 4, "auto": 2, "bfloat16": 2, "float16": 2, "half": 2}
_BATCH = 2048
_LEAST_CACHE = 64 << 20
_UNKNOWN_CACHE = 4 << 30


def environment(options: VllmOptions, logging_config: Path, *, accelerated: bool) -> dict[str, str]:
    """Variables that have to be set before vLLM is imported, and that its processes inherit."""
    variables = {
        "HF_HUB_OFFLINE": "1",  # models are on disk by now; nothing is asked of a hub
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_DO_NOT_TRACK": "1",
        # This process has threads by now, and a fork would copy their locks.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_LOGGING_CONFIG_PATH": str(logging_config),
    }
    if not accelerated and options.enforce_eager is not False:
        # A few functions are compiled all the same: seconds, within the first request.
        variables["TORCHDYNAMO_DISABLE"] = "1"
    if not accelerated:
        # Bound to processors, two replicas would be bound to the same ones.
        variables |= {
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": str(options.threads),
        }
    return variables


def engine_arguments(spec: ModelSpec, options: VllmOptions, *, devices: int) -> dict[str, Any]:
    """Arguments of vLLM's `AsyncEngineArgs`.

    Args:
        devices: accelerators that the replica has; 0 is processors.

    Raises:
        InvalidRequest: the options do not go together.
    """
    accelerated = devices > 0
    length = options.length(spec.context_length, accelerated=accelerated)
    arguments: dict[str, Any] = {
        "model": spec.path,
        "max_model_len": length or None,
        "max_num_seqs": options.max_num_seqs,
        "max_num_batched_tokens": options.max_num_batched_tokens,
        "gpu_memory_utilization": options.gpu_memory_utilization,
        "kv_cache_memory_bytes": options.kv_cache_memory_bytes,
        "kv_cache_dtype": options.kv_cache_dtype,
        "tensor_parallel_size": options.tensor_parallel_size
        or max(1, devices // options.pipeline_parallel_size),
        "pipeline_parallel_size": options.pipeline_parallel_size,
        "dtype": options.dtype,
        "quantization": options.quantization or ("bitsandbytes" if spec.format == "bnb" else None),
        "enforce_eager": not accelerated
        if options.enforce_eager is None
        else options.enforce_eager,
        "enable_prefix_caching": options.enable_prefix_caching,
        "enable_chunked_prefill": options.enable_chunked_prefill,
        "cpu_offload_gb": options.cpu_offload_gb,
        "load_format": options.load_format,
        "hf_overrides": options.hf_overrides,
        "seed": options.seed,
        # A launch with a model's own code comes this far only where the administrator allows it.
        "trust_remote_code": bool(spec.remote_code),
        "max_logprobs": -1,  # the pipeline has limits of its own
        "disable_log_stats": True,
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
    shape = spec.shape
    if shape is None and spec.size_in_billions:
        shape = guessed_shape(spec.size_in_billions)
    if shape is None:
        return _UNKNOWN_CACHE
    requests = min(FULL_ON_PROCESSORS, options.max_num_seqs)
    length = options.length(spec.context_length, accelerated=False)
    size = _BYTES[options.dtype]
    sizes = cache_bytes(
        shape, length * requests, sequences=requests, key_bytes=size, value_bytes=size, ahead=None
    )
    # Blocks are whole, and one of them is never given out.
    return int(1.1 * sum(sizes)) + _LEAST_CACHE


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
