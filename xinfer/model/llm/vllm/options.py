"""Launch options of the vLLM engine. Names are vLLM's own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from xinfer import system
from xinfer.model.engine import EngineOptions
from xinfer.types.model import LoraAdapter

Positive = Annotated[int, Meta(ge=1)]

LENGTH_ON_PROCESSORS = 8192
FULL_ON_PROCESSORS = 4
"""Requests of the whole length that the KV cache holds at once."""


class VllmOptions(EngineOptions, frozen=True, kw_only=True):
    """How vLLM runs the model. Sizes are in tokens where nothing else is said."""

    max_model_len: Positive | None = None
    """Context of one request, prompt and output together; the model's own by default, but at most
    8192 on processors."""
    max_num_seqs: Positive = 256
    """Requests that run at once."""
    max_num_batched_tokens: Positive | None = None
    """Tokens computed in one step, of prompts and outputs together; vLLM chooses by default."""
    gpu_memory_utilization: Annotated[float, Meta(gt=0, le=1)] = 0.9
    """Share of an accelerator's memory that vLLM takes: what the weights leave of it becomes KV
    cache."""
    kv_cache_memory_bytes: Positive | None = None
    """Bytes of KV cache, instead of what that share leaves; on processors room for four requests
    of the whole length by default."""
    kv_cache_dtype: str = "auto"
    """Type of the KV cache: the model's own, or fp8, fp8_e5m2, bfloat16, …"""
    block_size: Positive | None = None
    """Tokens of a block of the KV cache; a prefix is reused in whole blocks."""
    tensor_parallel_size: Positive | None = None
    """Accelerators that each layer is divided over; by default all that the replica has, divided
    by `pipeline_parallel_size`."""
    pipeline_parallel_size: Positive = 1
    """Groups of accelerators that hold some of the layers each."""
    dtype: Literal["auto", "float32", "bfloat16", "float16", "half", "float"] = "auto"
    """Type of the weights; by default the model's own, with 16 bits for one of 32."""
    quantization: str | None = None
    """How the weights are quantised: by default as the model's files say; fp8 and others quantise
    while loading."""
    enforce_eager: bool | None = None
    """Compute without compiled graphs: starts sooner, runs slower; what happens on processors by
    default."""
    enable_prefix_caching: bool = True
    """Reuse what was computed for prompts that began alike."""
    enable_chunked_prefill: bool | None = None
    """Compute long prompts in pieces, beside others' tokens. vLLM chooses by default; on processors
    they are computed whole, since requests could not have a seed otherwise."""
    cpu_offload_gb: Annotated[float, Meta(ge=0)] = 0.0
    """GiB of weights that stay in main memory and are moved as they are needed."""
    load_format: str = "auto"
    """How weights are read, as vLLM names it."""
    hf_overrides: dict[str, Any] = {}
    """Values of the model's config.json to be replaced, such as rope_parameters."""
    seed: int = 0
    """Of what requests without a seed of their own are sampled by."""
    n_threads: Positive | None = None
    """On processors: threads that compute; by default the processors that this process may use, but
    one, for the scheduler."""
    lora: dict[str, str | LoraAdapter] = {}
    """LoRA adapters of PEFT: the name that requests give, and the directory."""
    max_loras: Positive | None = None
    """Adapters in one step; all of them by default, and always on processors."""
    max_lora_rank: Positive = 16
    """The largest rank of the adapters."""

    @property
    def threads(self) -> int:
        return self.n_threads or max(1, system.usable_cores() - 1)

    def length(self, own: int, *, accelerated: bool) -> int:
        """Tokens of one request of a model whose own length is `own`; 0 when unknown."""
        if self.max_model_len is not None:
            return self.max_model_len
        return own if accelerated else min(own or LENGTH_ON_PROCESSORS, LENGTH_ON_PROCESSORS)
