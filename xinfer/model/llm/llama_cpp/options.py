"""Launch options of the llama-cpp-python engine, by llama.cpp's own names."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from xinfer.model.llama_cpp.options import ModelOptions, Positive
from xinfer.types.model import LoraAdapter


class LlamaCppOptions(ModelOptions, frozen=True, kw_only=True):
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
    n_threads_batch: Positive | None = None
    """Threads that compute prompts; `n_threads` by default."""
    n_batch: Annotated[int, Meta(ge=32)] = 512
    """Tokens computed in one step, of prompts and outputs together: running requests wait for as
    long as one takes."""
    n_ubatch: Annotated[int, Meta(ge=32)] = 512
    """Tokens computed at once within a step; no more than `n_batch` take effect."""
    repeat_last_n: Annotated[int, Meta(ge=-1)] | None = None
    """Last tokens, of prompt and output, that the penalties look at; -1 is the whole context. The
    model's own, or 64, by default."""
    mmproj: str = "auto"
    """The .gguf file through which the model sees pictures; `auto` is the one beside the model
    whose name begins with mmproj, `off` is none."""
    lora: dict[str, str | LoraAdapter] = {}
    """LoRA adapters in GGUF: the name that requests give, and the file, or an object of its `path`
    and a `scale`."""
