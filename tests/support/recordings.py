"""Small recordings: a tone as WAV, and the frames of MP3 files without any sound in them."""

from __future__ import annotations

import io
import wave

import numpy as np


def wav(seconds: float, hertz: float = 440, rate: int = 8000) -> bytes:
    """A WAV file of a tone: one channel, 16 bits."""
    times = np.arange(int(seconds * rate)) / rate
    samples = (20_000 * np.sin(2 * np.pi * hertz * times)).astype("<i2")
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return made.getvalue()


def mp3(frames: int, *, told: int | None = None, bitrate: int = 9, version: int = 3) -> bytes:
    """An MP3 file of so many silent frames, mono.

    Args:
        told: frames that its first one is said to begin.
        bitrate: its index.
        version: 3: MPEG 1 at 44.1 kHz, 26 ms a frame; 0: MPEG 2.5 at 11.025 kHz, 52 ms.
    """
    header = bytes([0xFF, 0xE3 | version << 3, bitrate << 4, 0xC0])
    kilobits = {(3, 9): 128, (0, 1): 8, (3, 0): 0}[version, bitrate]
    size = (1152 if version == 3 else 576) // 8 * kilobits * 1000
    size //= 44100 if version == 3 else 11025
    frame = header + bytes(max(0, size - 4))
    first = frame
    if told is not None:
        mark = bytes(17) + b"Xing" + (1).to_bytes(4, "big") + told.to_bytes(4, "big")
        first = (header + mark).ljust(len(frame), b"\0")
    return first + frame * (frames - 1)
