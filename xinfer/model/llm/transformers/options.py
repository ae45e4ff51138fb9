"""Launch options of the Transformers engine."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from xinfer import system
from xinfer.model.engine import EngineOptions
from xinfer.types.model import LoraAdapter

Positive = Annotated[int, Meta(ge=1)]
Attention = Literal["eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3"]

DEFAULT_LENGTH = 8192


class TransformersOptions(EngineOptions, frozen=True, kw_only=True):
    """How Transformers runs the model. Sizes are in tokens where nothing else is said."""

    max_model_len: Positive | None = None
    """Context of one request, prompt and output together; the model's own, but at most 8192, by
    default."""
    max_num_seqs: Annotated[int, Meta(ge=1, le=256)] = 16
    """Requests that run at once."""
    max_batch_tokens: Annotated[int, Meta(ge=32)] = 512
    """Tokens computed in one step, of prompts and outputs together: running requests wait for as
    long as one takes."""
    batching: Literal["auto", "packed", "rows"] = "auto"
    """How requests are computed together: `packed` puts all their tokens into one call of the
    model, `rows` calls it for each of them, which any model can. `auto` packs where the model
    gives the same results so."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps, …; an accelerator where there is one by default."""
    device_map: str | dict[str, int | str] | None = None
    """How the model is divided over several devices, as accelerate takes it."""
    torch_dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of the weights; by default the model's own on accelerators, and float32 on
    processors."""
    attn_implementation: Attention | None = None
    """What computes the attention within pictures, and among tokens where requests are computed
    row by row; Transformers' choice by default."""
    load_in_bits: Literal[4, 8] | None = None
    """Quantise to so many bits while loading, by bitsandbytes."""
    quantization_config: dict[str, Any] | None = None
    """The same in detail, as Transformers' BitsAndBytesConfig takes it: load_in_4bit, …"""
    n_threads: Positive | None = None
    """Threads that compute; the processors this process may use, but at most 16, by default."""
    lora: dict[str, str | LoraAdapter] = {}
    """LoRA adapters of PEFT: the name that requests give, and the directory, or an object of its
    `path` and a `scale`."""

    @property
    def threads(self) -> int:
        return self.n_threads or system.computing_threads()

    def length(self, own: int) -> int:
        """Tokens of one request of a model whose own length is `own`; 0 when unknown."""
        if self.max_model_len is not None:
            return min(self.max_model_len, own) if own else self.max_model_len
        return min(own, DEFAULT_LENGTH) if own else DEFAULT_LENGTH
