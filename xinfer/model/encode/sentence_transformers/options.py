"""Launch options of the sentence-transformers engine."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from xinfer import system
from xinfer.model.engine import EngineOptions

Positive = Annotated[int, Meta(ge=1)]

_THREAD_TOKENS = 1024
"""On processors more at once is no faster, and with less for each batch those that come meanwhile
are a batch of their own: the device has work while the last ones are answered and sent anew."""
_CPU_TOKENS, _ACCELERATOR_TOKENS = 4096, 16384


class SentenceTransformersOptions(EngineOptions, frozen=True, kw_only=True):
    """Where the model is computed, how exactly, and how much of it at once."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where it is computed: on an accelerator if there is one, by default."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What weights are kept and computed in. By default that of the files on an accelerator, and
    float32 on processors, where bfloat16 is several times as fast if they have AMX."""
    max_tokens: Positive | None = None
    """The longest text or pair in tokens; as the model's files say by default."""
    batch_tokens: Positive | None = None
    """Tokens computed at once, with the padding. By default 16384 on an accelerator, and 1024 for
    each computing thread on processors, at most 4096. A longer text is computed alone."""
    batch_items: Annotated[int, Meta(ge=1, le=1024)] = 64
    """Texts or pairs computed at once."""
    truncate: bool = True
    """Whether what is too long is cut short where a request does not say; refused otherwise."""
    n_threads: Positive | None = None
    """Threads that compute; the processors this process may use, but at most 16, by default."""
    instruction: str | None = None
    """What a language model that reranks is told to judge by; the model's own words by default."""

    @property
    def threads(self) -> int:
        return self.n_threads or system.computing_threads()

    def tokens_at_once(self, *, accelerator: bool) -> int:
        if self.batch_tokens:
            return self.batch_tokens
        if accelerator:
            return _ACCELERATOR_TOKENS
        return min(_CPU_TOKENS, _THREAD_TOKENS * self.threads)
