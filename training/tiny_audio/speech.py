"""Words spoken by espeak-ng, in many voices; for training and for held-out recordings."""

from __future__ import annotations

import io
import subprocess
import wave
from collections.abc import Iterator
from random import Random

import numpy as np
import soxr
from numpy.typing import NDArray

RATE = 16000
Clip = NDArray[np.float32]
"""(samples,) at `RATE`, from -1 to 1."""

ACCENTS = {"en": ("en-us", "en-gb", "en-gb-x-rp"), "de": ("de",)}
VOICES = (
    "",
    "+m1",
    "+m2",
    "+m3",
    "+m4",
    "+m5",
    "+m6",
    "+f1",
    "+f2",
    "+f3",
    "+f4",
    "+klatt",
    "+max",
)
HELD_OUT_VOICES = ("+m7", "+f5", "+klatt2", "+steph")
"""In no training text."""


def speak(text: str, voice: str, *, pitch: int, speed: int) -> Clip:
    """What espeak-ng makes of a text, without the silence around it.

    Args:
        pitch: 0 to 99.
        speed: words a minute.
    """
    command = ["espeak-ng", "-v", voice, "-p", str(pitch), "-s", str(speed), "--stdout", text]
    with wave.open(
        io.BytesIO(subprocess.run(command, check=True, capture_output=True).stdout)
    ) as file:
        rate = file.getframerate()
        # The header of what is written to a pipe claims more than there is.
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    loud = np.flatnonzero(np.abs(samples) > 200)
    spoken = samples[loud[0] : loud[-1] + 1].astype(np.float32) / 32768
    return np.asarray(soxr.resample(spoken, rate, RATE), np.float32)


def manners(
    language: str, voices: tuple[str, ...], random: Random, count: int
) -> Iterator[tuple[str, int, int]]:
    """So many ways to speak: voice, pitch and speed."""
    for _ in range(count):
        voice = random.choice(ACCENTS[language]) + random.choice(voices)
        yield voice, random.randrange(25, 80), random.randrange(110, 200)
