"""Launch options of the engine for Whisper on PyTorch."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from xinfer import system
from xinfer.model.engine import EngineOptions

Positive = Annotated[int, Meta(ge=1)]


class WhisperOptions(EngineOptions, frozen=True, kw_only=True):
    """Where the model is computed, how exactly, and what it takes."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where it is computed: on an accelerator if there is one, by default."""
    torch_dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What weights are kept and computed in. By default that of the files on an accelerator, and
    float32 on processors."""
    n_threads: Positive | None = None
    """Threads that compute; the processors this process may use, but at most 16, by default."""
    concurrency: Annotated[int, Meta(ge=1, le=64)] = 1
    """Recordings that are written down at once."""
    max_seconds: Annotated[float, Meta(gt=0)] = 7200.0
    """The longest recording."""
    condition_on_previous_text: bool = True
    """Whether what was said before a window of 30 seconds helps to understand it."""

    @property
    def threads(self) -> int:
        return self.n_threads or system.computing_threads()
