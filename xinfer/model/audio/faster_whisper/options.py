"""Launch options of the faster-whisper engine."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from xinfer import system
from xinfer.model.engine import EngineOptions

Positive = Annotated[int, Meta(ge=1)]


class FasterWhisperOptions(EngineOptions, frozen=True, kw_only=True):
    """Where the model is computed, how exactly, and how it searches."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it is computed: on CUDA if CTranslate2 finds it, by default."""
    compute_type: str = "default"
    """What it is computed in, as CTranslate2 has it: `int8`, `float16`, `int8_float16`, …; by
    default as the files have it, or what comes nearest to that on the device."""
    n_threads: Positive | None = None
    """Threads that compute, for each recording; the processors this process may use, but at most
    16, by default."""
    concurrency: Annotated[int, Meta(ge=1, le=64)] = 1
    """Recordings that are written down at once."""
    beam_size: Annotated[int, Meta(ge=1, le=20)] = 5
    """Transcripts that are followed at once in search of the likeliest."""
    vad_filter: bool = False
    """Whether stretches without speech are left out before, as another small model finds them."""
    max_seconds: Annotated[float, Meta(gt=0)] = 7200.0
    """The longest recording."""
    condition_on_previous_text: bool = True
    """Whether what was said before a window of 30 seconds helps to understand it."""

    @property
    def threads(self) -> int:
        return self.n_threads or system.computing_threads()
