"""Launch options of the engine for Whisper on PyTorch."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from xinfer.model.audio.torch_options import TorchAudioOptions


class WhisperOptions(TorchAudioOptions, frozen=True, kw_only=True):
    """Where the model is computed, how exactly, and what it takes."""

    concurrency: Annotated[int, Meta(ge=1, le=64)] = 1
    """Recordings that are written down at once."""
    max_seconds: Annotated[float, Meta(gt=0)] = 7200.0
    """The longest recording."""
    condition_on_previous_text: bool = True
    """Whether what was said before a window of 30 seconds helps to understand it."""
