"""Launch options of the engine for text to speech on PyTorch."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from xinfer import system
from xinfer.model.engine import EngineOptions

Positive = Annotated[int, Meta(ge=1)]


class SpeechOptions(EngineOptions, frozen=True, kw_only=True):
    """Where the model is computed, and what it needs beside its own files."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where it is computed: on an accelerator if there is one, by default."""
    torch_dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What weights are kept and computed in. By default that of the files on an accelerator, and
    float32 on processors."""
    n_threads: Positive | None = None
    """Threads that compute; the processors this process may use, but at most 16, by default."""
    vocoder: str | None = None
    """SpeechT5: the directory of its vocoder; by default `vocoder` in the model's own."""
    voices: str | None = None
    """SpeechT5: the directory with a voice in each file, its embedding as .npy; by default `voices`
    in the model's own."""

    @property
    def threads(self) -> int:
        return self.n_threads or system.computing_threads()
