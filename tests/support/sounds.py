"""Sounds for tests, and files of them in many formats."""

from __future__ import annotations

import io
import wave
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

RATE = 16000


def tone(seconds: float, *, pitch: float = 440.0, rate: int = RATE) -> NDArray[np.int16]:
    """(samples,)"""
    time = np.arange(int(seconds * rate)) / rate
    return (10_000 * np.sin(2 * np.pi * pitch * time)).astype(np.int16)


def wav(samples: NDArray[np.int16], *, rate: int = RATE, channels: int = 1) -> bytes:
    """A file with the same samples on each channel."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(np.repeat(samples, channels).astype("<i2").tobytes())
    return file.getvalue()


def container(
    form: str,
    codec: str,
    samples: NDArray[np.int16],
    *,
    rate: int = RATE,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """A file that FFmpeg's libraries write, by their names of container, codec and metadata."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=form) as written:
        written.metadata.update(metadata or {})
        stream = written.add_stream(codec, rate=rate)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = rate
        written.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


def pitch_of(samples: NDArray[np.int16], *, rate: int = RATE) -> float:
    """The frequency that is loudest in it."""
    spectrum = np.abs(np.fft.rfft(samples.astype(np.float64)))
    return float(np.argmax(spectrum)) * rate / len(samples)
