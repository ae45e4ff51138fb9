"""Launch options of the pooling engine on vLLM. Names are vLLM's own, but for `truncate`."""

from __future__ import annotations

from xinfer.model.vllm.options import Positive, SharedOptions

OF_LANGUAGE_MODELS = frozenset(
    {"max_loras", "max_lora_rank", "lora_dtype", "pooler_config", "speculative_config", "seed"}
)
"""Arguments of vLLM's that say nothing to a pooling model, or that its files say."""


class VllmPoolingOptions(SharedOptions, frozen=True, kw_only=True):
    """How vLLM runs an embedding or rerank model. The `dtype` is that of the files on an
    accelerator by default, with 16 bits for one of 32, and float32 on processors."""

    kv_cache_memory_bytes: Positive | None = None
    """Bytes of the KV cache of a model that looks backwards only; on processors room for the tokens
    of one step by default."""
    truncate: bool = True
    """Whether what is too long is cut short where a request does not say; refused otherwise."""
