"""Launch options of the Piper engine."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from xinfer import system
from xinfer.model.engine import EngineOptions

Scale = Annotated[float, Meta(ge=0, le=2)]


class PiperOptions(EngineOptions, frozen=True, kw_only=True):
    """Where the voice is computed, and how freely it speaks."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it is computed: on CUDA if the installed ONNX Runtime has it, by default."""
    n_threads: Annotated[int, Meta(ge=1)] | None = None
    """Threads that compute; the processors this process may use, but at most 16, by default."""
    noise_scale: Scale | None = None
    """How much the sound is left to chance; as the voice's file says by default."""
    noise_w: Scale | None = None
    """How much the length of each sound is left to chance; as the voice's file says by default.
    With 0 for both the same text sounds the same each time."""

    @property
    def threads(self) -> int:
        return self.n_threads or system.computing_threads()
