"""Engine arguments and environment that do not depend on what the model is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xinfer.errors import InvalidRequest
from xinfer.model.memory import cache_bytes, guessed_shape
from xinfer.model.vllm.options import SharedOptions
from xinfer.types.model import ModelSpec

_BYTES = {"float32": 4, "float": 4, "auto": 2, "bfloat16": 2, "float16": 2, "half": 2}
_IN_PROCESS = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
_LEAST_CACHE = 64 << 20
_UNKNOWN_CACHE = 4 << 30


def environment(
    options: SharedOptions, logging_config: Path, *, accelerated: bool, alone: bool = False
) -> dict[str, str]:
    """Variables that have to be set before vLLM is imported, and that its processes inherit.

    Args:
        alone: vLLM's scheduler runs in this process, and is stepped by it.
    """
    variables = {
        "HF_HUB_OFFLINE": "1",  # models are on disk by now; nothing is asked of a hub
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_DO_NOT_TRACK": "1",
        # This process has threads by now, and a fork would copy their locks.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_LOGGING_CONFIG_PATH": str(logging_config),
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0" if alone else "1",
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


def shared_arguments(
    spec: ModelSpec, options: SharedOptions, further: dict[str, Any], *, devices: int
) -> dict[str, Any]:
    """Arguments of vLLM's `AsyncEngineArgs`.

    Args:
        further: arguments that the launch gave by their own names alone.
        devices: accelerators that the replica has; 0 is processors.

    Raises:
        InvalidRequest: the options do not go together.
    """
    accelerated = devices > 0
    tensor_parallel = _tensor_parallel(options, further, devices)
    # By default, builds for processors start another process, to bind its threads to processors.
    alone = not accelerated and tensor_parallel * options.pipeline_parallel_size == 1
    return {
        "model": spec.path,
        "max_model_len": options.length(spec.context_length, accelerated=accelerated) or None,
        "max_num_seqs": options.max_num_seqs,
        "max_num_batched_tokens": options.max_num_batched_tokens,
        "gpu_memory_utilization": options.gpu_memory_utilization,
        "tensor_parallel_size": tensor_parallel,
        "pipeline_parallel_size": options.pipeline_parallel_size,
        "dtype": options.dtype,
        "quantization": options.quantization or ("bitsandbytes" if spec.format == "bnb" else None),
        "enforce_eager": not accelerated
        if options.enforce_eager is None
        else options.enforce_eager,
        "load_format": options.load_format,
        "hf_overrides": options.hf_overrides,
        # A launch with a model's own code comes this far only where the administrator allows it.
        "trust_remote_code": bool(spec.remote_code),
        "disable_log_stats": True,
        "distributed_executor_backend": _IN_PROCESS if alone else None,
        **further,
    }


def cache_for(spec: ModelSpec, tokens: int, *, sequences: int, dtype: str) -> int:
    """Bytes of a KV cache on processors: without a number, vLLM takes nearly all memory.

    Args:
        tokens: of all sequences together.
    """
    shape = spec.shape
    if shape is None and spec.size_in_billions:
        shape = guessed_shape(spec.size_in_billions)
    if shape is None:
        return _UNKNOWN_CACHE
    size = _BYTES[dtype]
    sizes = cache_bytes(
        shape, tokens, sequences=sequences, key_bytes=size, value_bytes=size, ahead=None
    )
    # Blocks are whole, and one of them is never given out.
    return int(1.1 * sum(sizes)) + _LEAST_CACHE


def _tensor_parallel(options: SharedOptions, further: dict[str, Any], devices: int) -> int:
    if options.tensor_parallel_size is not None:
        return options.tensor_parallel_size
    groups = options.pipeline_parallel_size * _number(further, "data_parallel_size")
    every = devices * _number(further, "nnodes")
    if every > groups and every % groups:
        raise InvalidRequest(
            f"{every} accelerators cannot be divided into {groups} groups of equal size. Give "
            "tensor_parallel_size, or another pipeline_parallel_size or n_gpu.",
            param="tensor_parallel_size",
        )
    return max(1, every // groups)


def _number(further: dict[str, Any], name: str) -> int:
    try:
        return int(further.get(name, 1))
    except (TypeError, ValueError):
        raise InvalidRequest(
            f"Option {name!r} of vLLM is {further[name]!r}; expected a whole number.", param=name
        ) from None
