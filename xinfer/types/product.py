"""What an engine makes of a request that it works on in steps, in the order that it is made."""

from __future__ import annotations

import msgspec


class Advance(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=0):
    """How far the work has come; `done` of `total` steps, of all that was asked for."""

    done: float
    total: float


class Picture(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """A picture that was drawn. One that is large comes in several of these, one after another."""

    index: int
    """Which of those that were asked for."""
    data: bytes
    """A PNG file, or the next part of one."""
    seed: int
    """What it can be drawn again with."""
    more: bool = False
    """Whether the file goes on in the next one."""
    prompt_cut: int = 0
    """Tokens of the prompt that the model did not see, because it takes no more."""


class Heard(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """What is known of a recording as a whole; comes once, before its segments."""

    duration: float
    """Seconds."""
    language: str = ""
    """As ISO 639-1 has it, or 639-3 where that has no letters for it; empty when unknown."""
    probability: float = 1.0
    """Of that language, where it was not given."""


class Word(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A word of a transcript; seconds since the recording's start."""

    start: float
    end: float
    text: str
    probability: float = 1.0


class Segment(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """A stretch of a recording in words; seconds since its start."""

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()
    """Where they were asked for."""
    tokens: tuple[int, ...] = ()
    temperature: float = 0.0
    avg_logprob: float = 0.0
    compression_ratio: float = 0.0
    no_speech_prob: float = 0.0


class Sound(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """The next piece of sound: of one channel, PCM, little-endian."""

    data: bytes
    sample_rate: int
    """Samples a second; the same in all pieces."""
    format: str = "s16"
    """s16: whole numbers of two bytes. f32: float32 from -1 to 1."""


class Preview(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=5):
    """How a picture looks while it is drawn, where the request asks for that. One that is large
    comes in several of these, one after another."""

    index: int
    """Of the picture, as `Picture` has it."""
    number: int
    """Which of its previews, from 0."""
    data: bytes
    """A PNG file, or the next part of one."""
    more: bool = False
    """Whether the file goes on in the next one."""


Product = Advance | Picture | Heard | Segment | Sound | Preview
