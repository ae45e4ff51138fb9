"""Launch options of the xllamacpp engine, by llama.cpp's own names."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from xinfer import system
from xinfer.model.engine import EngineOptions

Positive = Annotated[int, Meta(ge=1)]
CacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "iq4_nl", "q4_1", "q4_0"]

# Beyond this, more threads cost more in waiting for each other than they bring.
MOST_THREADS = 16


class XllamacppOptions(EngineOptions, frozen=True, kw_only=True):
    """How llama.cpp runs the model. Sizes are in tokens where nothing else is said."""

    n_ctx: Positive | None = None
    """Context of one request, prompt and output together; the model's own, but at most 8192,
    by default. Memory for `n_parallel` times as much is taken at load."""
    n_parallel: Annotated[int, Meta(ge=1, le=256)] = 4
    """Requests that run at once."""
    n_threads: Positive | None = None
    """Threads that compute; the processors this process may use, but at most 16, by default."""
    n_threads_batch: Positive | None = None
    """Threads that compute prompts; `n_threads` by default."""
    n_batch: Annotated[int, Meta(ge=32)] = 512
    """Prompt tokens computed in one step: running requests wait for as long as one takes, and
    so does a cancel."""
    n_ubatch: Annotated[int, Meta(ge=32)] = 512
    """Tokens computed at once within a step; no more than `n_batch` take effect."""
    n_gpu_layers: Annotated[int, Meta(ge=-1)] = -1
    """Layers kept on the accelerator, where the build has one; -1 is as many as fit."""
    main_gpu: Annotated[int, Meta(ge=0)] = 0
    """The accelerator that is used when the model is not split."""
    flash_attn: Literal["auto", "on", "off"] = "auto"
    """Flash attention."""
    cache_type_k: CacheType = "f16"
    """Type of the KV cache's keys."""
    cache_type_v: CacheType = "f16"
    """Type of the KV cache's values; a quantised one needs flash attention."""
    cache_ram_mib: Annotated[int, Meta(ge=0)] = 0
    """MiB of memory for prompts that were pushed out of the KV cache; 0 keeps none."""
    use_mmap: bool = True
    """Map the file instead of reading it into memory of its own."""
    use_mlock: bool = False
    """Keep the model from being swapped out."""
    repeat_last_n: Annotated[int, Meta(ge=0)] | None = None
    """Last tokens, of prompt and output, that the penalties look at; the model's own, or 64, by
    default."""

    @property
    def threads(self) -> int:
        return self.n_threads or min(system.usable_cores(), MOST_THREADS)
