"""Words spoken by espeak-ng, in many voices; for training and for held-out recordings."""

from __future__ import annotations

import io
import subprocess
import wave
from collections.abc import Iterator
from random import Random

import numpy as np
from numpy.typing import NDArray

RATE = 16000
Clip = NDArray[np.float32]
"""(samples,) at `RATE`, from -1 to 1."""

ACCENTS = {"en": "en-us", "de": "de"}
VOICES = ("", "+m3", "+f2")
HELD_OUT_PITCHES = range(40, 60, 5)
HELD_OUT_SPEEDS = range(130, 180, 10)
"""In no training recording."""


def speak(text: str, voice: str, *, pitch: int, speed: int) -> Clip:
    """What espeak-ng makes of a text, without the silence around it.

    Args:
        pitch: 0 to 99.
        speed: words a minute.
    """
    import soxr

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


def manners(language: str, random: Random, count: int) -> Iterator[tuple[str, int, int]]:
    """So many ways to speak: voice, pitch and speed."""
    for _ in range(count):
        voice = ACCENTS[language] + random.choice(VOICES)
        pitch = random.choice([one for one in range(25, 76) if one not in HELD_OUT_PITCHES])
        speed = random.choice([one for one in range(115, 191) if one not in HELD_OUT_SPEEDS])
        yield voice, pitch, speed
