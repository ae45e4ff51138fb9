"""Launch options of the engine for text to speech on PyTorch."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from xinfer.model.audio.torch_options import TorchAudioOptions

Temperature = Annotated[float, Meta(ge=0, le=2)]


class SpeechOptions(TorchAudioOptions, frozen=True, kw_only=True):
    """Where the model is computed, what it needs beside its own files, and how it speaks."""

    vocoder: str | None = None
    """SpeechT5: the directory of its vocoder; by default `vocoder` in the model's own."""
    voices: str | None = None
    """SpeechT5: the directory with a voice in each file, its embedding as .npy; by default `voices`
    in the model's own."""
    text_temperature: Temperature | None = None
    """Bark: how freely it chooses what is said and how; 0 is never by chance. By default as its
    files say."""
    waveform_temperature: Temperature | None = None
    """Bark: how freely it chooses how that sounds; 0 is never by chance. By default as its files
    say."""
    min_eos_p: Annotated[float, Meta(gt=0, lt=1)] | None = None
    """Bark: how likely the end of a sentence has to be to be taken, which keeps it from going on
    behind its text; 0.2 is usual. By default the end is drawn like all else."""
