"""Launch options of the vLLM engine. Names are vLLM's own."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from xinfer.model.vllm.options import Positive, SharedOptions
from xinfer.types.model import LoraAdapter

FULL_ON_PROCESSORS = 4
"""Requests of the whole length that the KV cache holds at once."""


class VllmOptions(SharedOptions, frozen=True, kw_only=True):
    """How vLLM runs a language model. What the weights leave of `gpu_memory_utilization` becomes KV
    cache; the `dtype` is the model's own by default, with 16 bits for one of 32."""

    kv_cache_memory_bytes: Positive | None = None
    """Bytes of KV cache, instead of what that share leaves; on processors room for four requests
    of the whole length by default."""
    kv_cache_dtype: str = "auto"
    """Type of the KV cache: the model's own, or fp8, fp8_e5m2, bfloat16, …"""
    block_size: Positive | None = None
    """Tokens of a block of the KV cache; a prefix is reused in whole blocks."""
    enable_prefix_caching: bool = True
    """Reuse what was computed for prompts that began alike."""
    enable_chunked_prefill: bool | None = None
    """Compute long prompts in pieces, beside others' tokens. vLLM chooses by default; on processors
    they are computed whole, since requests could not have a seed otherwise."""
    cpu_offload_gb: Annotated[float, Meta(ge=0)] = 0.0
    """GiB of weights that stay in main memory and are moved as they are needed."""
    seed: int = 0
    """Of what requests without a seed of their own are sampled by."""
    lora: dict[str, str | LoraAdapter] = {}
    """LoRA adapters of PEFT: the name that requests give, and the directory."""
    max_loras: Positive | None = None
    """Adapters in one step; all of them by default, and always on processors."""
    max_lora_rank: Positive = 16
    """The largest rank of the adapters."""
