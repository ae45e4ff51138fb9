"""Launch options of every engine for sound on PyTorch."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from xinfer import system
from xinfer.model.engine import EngineOptions


class TorchAudioOptions(EngineOptions, frozen=True, kw_only=True):
    """Where the model is computed, and in what precision."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where it is computed: on an accelerator if there is one, by default."""
    torch_dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What weights are kept and computed in. By default that of the files on an accelerator, and
    float32 on processors."""
    n_threads: Annotated[int, Meta(ge=1)] | None = None
    """Threads that compute; the processors this process may use, but at most 16, by default."""

    @property
    def threads(self) -> int:
        return self.n_threads or system.computing_threads()
