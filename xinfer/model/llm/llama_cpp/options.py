"""Launch options of the llama-cpp-python engine, by llama.cpp's own names."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from xinfer import system
from xinfer.model.engine import EngineOptions

Positive = Annotated[int, Meta(ge=1)]
CacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "iq4_nl", "q4_1", "q4_0"]

# Beyond this, more threads cost more in waiting for each other than they bring.
MOST_THREADS = 16


class LlamaCppOptions(EngineOptions, frozen=True, kw_only=True):
    """How llama.cpp runs the model. Sizes are in tokens where nothing else is said."""

    n_ctx: Positive | None = None
    """Context of one request, prompt and output together; the model's own, but at most 8192,
    by default."""
    n_parallel: Annotated[int, Meta(ge=1, le=256)] = 16
    """Requests that run at once."""
    kv_unified: bool | None = None
    """Share one KV cache among the running requests, instead of giving each a part of its own,
    which is faster; by default only where all the parts would take more than 2 GiB."""
    n_kv: Positive | None = None
    """Tokens that the shared KV cache holds; at least `n_ctx`. Room for 4 requests of full length
    by default: more run at once when they are shorter, and one that finds no room waits."""
    n_threads: Positive | None = None
    """Threads that compute; the processors this process may use, but at most 16, by default."""
    n_threads_batch: Positive | None = None
    """Threads that compute prompts; `n_threads` by default."""
    n_batch: Annotated[int, Meta(ge=32)] = 512
    """Tokens computed in one step, of prompts and outputs together: running requests wait for as
    long as one takes."""
    n_ubatch: Annotated[int, Meta(ge=32)] = 512
    """Tokens computed at once within a step; no more than `n_batch` take effect."""
    n_gpu_layers: Annotated[int, Meta(ge=-1)] = -1
    """Layers kept on the accelerator, where the build has one; -1 is as many as fit."""
    main_gpu: Annotated[int, Meta(ge=0)] = 0
    """The accelerator that is used when the model is not split."""
    split_mode: Literal["none", "layer", "row"] = "layer"
    """How the model is split over several accelerators."""
    tensor_split: tuple[Annotated[float, Meta(ge=0)], ...] = ()
    """Share of the model for each accelerator; in proportion to free memory by default."""
    flash_attn: Literal["auto", "on", "off"] = "auto"
    """Flash attention."""
    cache_type_k: CacheType = "f16"
    """Type of the KV cache's keys."""
    cache_type_v: CacheType = "f16"
    """Type of the KV cache's values; a quantised one needs flash attention."""
    use_mmap: bool = True
    """Map the file instead of reading it into memory of its own."""
    use_mlock: bool = False
    """Keep the model from being swapped out."""
    use_extra_bufts: bool | None = None
    """Repack weights for the processor's own matrix instructions; by default wherever that is
    known not to crash."""
    repeat_last_n: Annotated[int, Meta(ge=-1)] | None = None
    """Last tokens, of prompt and output, that the penalties look at; -1 is the whole context. The
    model's own, or 64, by default."""
    lora: dict[str, str] = {}
    """LoRA adapters in GGUF: the name that requests give, and the file."""

    @property
    def threads(self) -> int:
        return self.n_threads or min(system.usable_cores(), MOST_THREADS)
