"""Launch options of the engine for text to speech on PyTorch."""

from __future__ import annotations

from xinfer.model.audio.torch_options import TorchAudioOptions


class SpeechOptions(TorchAudioOptions, frozen=True, kw_only=True):
    """Where the model is computed, and what it needs beside its own files."""

    vocoder: str | None = None
    """SpeechT5: the directory of its vocoder; by default `vocoder` in the model's own."""
    voices: str | None = None
    """SpeechT5: the directory with a voice in each file, its embedding as .npy; by default `voices`
    in the model's own."""
