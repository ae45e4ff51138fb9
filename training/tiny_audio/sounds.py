"""Digits put one after the other into a recording, with pauses, pitch, colour and noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

import numpy as np

from training.tiny_audio.speech import RATE, Clip

Clips = Mapping[str, Sequence[Sequence[Clip]]]
"""By language, for each digit, what it sounds like."""


class Digit(NamedTuple):
    """When one is said; seconds."""

    digit: int
    start: float
    end: float


class Recording(NamedTuple):
    samples: Clip
    language: str
    digits: list[Digit]
    cut: float | None = None
    """Seconds at which a last digit begins that does not end within the recording."""


def record(
    clips: Clips, random: Random, *, seconds: float, groups: int, cut: bool = False
) -> Recording:
    """So many groups of digits at most, within so many seconds."""
    language = random.choices(("en", "de"), (3, 2))[0]
    size = int(seconds * RATE)
    samples = np.zeros(size, np.float32)
    at = int(random.choice((0.02, random.uniform(0, 1.5))) * RATE)
    made: list[Digit] = []
    for _ in range(groups):
        digits = [random.randrange(10) for _ in range(random.choice((1, 2, 3, 3, 4, 4, 5, 6, 8)))]
        for digit, clip, pause in zip(
            digits, *manner(clips[language], digits, random), strict=True
        ):
            if at + len(clip) > size:
                begun = None
                if cut and made and size - at > RATE // 10:
                    begun = at / RATE
                    samples[at:] = clip[: size - at]
                return Recording(coloured(samples, random), language, made, begun)
            samples[at : at + len(clip)] = clip
            made.append(Digit(digit, at / RATE, (at + len(clip)) / RATE))
            at += len(clip) + pause
        at += int(random.uniform(0.7, 2.5) * RATE)
    return Recording(coloured(samples, random), language, made)


def manner(
    clips: Sequence[Sequence[Clip]], digits: Sequence[int], random: Random
) -> tuple[list[Clip], list[int]]:
    """The digits in one manner of speed, and the samples of the short pause behind each."""
    stretch, pause = random.uniform(0.88, 1.14), random.choice((0.02, 0.08, 0.2))
    said = [
        _stretched(random.choice(clips[digit]), stretch * random.uniform(0.97, 1.03))
        for digit in digits
    ]
    return said, [int(random.uniform(0.5, 1.5) * pause * RATE) for _ in digits]


def _stretched(clip: Clip, factor: float) -> Clip:
    """Longer by the factor, and lower in pitch."""
    places = np.arange(0, len(clip) - 1, 1 / factor)
    return np.interp(places, np.arange(len(clip)), clip).astype(np.float32)


def coloured(samples: Clip, random: Random) -> Clip:
    """As another microphone would have it in another room: tone, loudness, noise."""
    noise = np.random.default_rng(random.getrandbits(32))
    if random.random() < 0.5:  # a tilt of the spectrum
        samples = np.append(samples[:1], samples[1:] - random.uniform(-0.6, 0.6) * samples[:-1])
    if random.random() < 0.25:  # an echo
        delay = random.randrange(80, 800)
        samples = samples.copy()
        samples[delay:] += random.uniform(0.1, 0.4) * samples[:-delay]
    samples = samples * (random.uniform(0.05, 0.9) / max(1e-4, float(np.abs(samples).max())))
    level = float(np.abs(samples).max()) * 10 ** random.uniform(-4, -1.3)
    white = noise.standard_normal(len(samples)).astype(np.float32)
    if random.random() < 0.5:  # low noise, such as of fans and cars
        white = np.convolve(white, np.full(8, 8**-0.5, np.float32), "same")
    return (samples + level * white).clip(-1, 1).astype(np.float32)


def silence(random: Random, seconds: float) -> Clip:
    """Nobody speaks: noise, or a hum, or nothing at all."""
    noise = np.random.default_rng(random.getrandbits(32))
    size = int(seconds * RATE)
    quiet = noise.standard_normal(size).astype(np.float32) * 10 ** random.uniform(-5, -1.5)
    if random.random() < 0.4:
        time = np.arange(size) / RATE
        pitch, loud = random.uniform(50, 1500), random.uniform(0.01, 0.4)
        quiet = quiet + (loud * np.sin(2 * np.pi * pitch * time)).astype(np.float32)
    return quiet.clip(-1, 1)
