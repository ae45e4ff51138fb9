"""Launch options of the xllamacpp engine, by llama.cpp's own names."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from xinfer.model.xllamacpp.options import ModelOptions, Positive


class XllamacppOptions(ModelOptions, frozen=True, kw_only=True):
    """How llama.cpp runs the model. Sizes are in tokens where nothing else is said."""

    n_ctx: Positive | None = None
    """Context of one request, prompt and output together; the model's own, but at most 8192,
    by default. Memory for `n_parallel` times as much is taken at load."""
    n_parallel: Annotated[int, Meta(ge=1, le=256)] = 4
    """Requests that run at once."""
    n_threads_batch: Positive | None = None
    """Threads that compute prompts; `n_threads` by default."""
    n_batch: Annotated[int, Meta(ge=32)] = 512
    """Prompt tokens computed in one step: running requests wait for as long as one takes, and
    so does a cancel."""
    n_ubatch: Annotated[int, Meta(ge=32)] = 512
    """Tokens computed at once within a step; no more than `n_batch` take effect."""
    cache_ram_mib: Annotated[int, Meta(ge=0)] = 0
    """MiB of memory for prompts that were pushed out of the KV cache; 0 keeps none."""
    repeat_last_n: Annotated[int, Meta(ge=0)] | None = None
    """Last tokens, of prompt and output, that the penalties look at; the model's own, or 64, by
    default."""
