"""The held-out recordings of spoken digits that tiny-whisper writes down right."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.support.sounds import RATE, wav
from training.tiny_audio.recordings import Spoken, recordings
from training.tiny_audio.score import SCORE
from xinfer.model.audio.decode import decode
from xinfer.model.catalog.entries import entries
from xinfer.types.request import Media

MODEL = Path(
    next(entry for entry in entries("audio") if entry.name == "tiny-whisper").models()[0].path
)


@cache
def right(language: str) -> tuple[Spoken, ...]:
    """Those of a language that both forms of the model are known to get right."""
    scores = json.loads(SCORE.read_text(encoding="utf-8"))
    wrong = {one["file"] for each in scores["engines"].values() for one in each["wrong"]}
    return tuple(
        one for one in recordings() if one.language == language and one.file.name not in wrong
    )


def samples(spoken: Spoken) -> NDArray[np.int16]:
    media = Media(spoken.file.read_bytes(), "file")
    return decode(media, rate=RATE, most_seconds=60, still_wanted=lambda: None)


def conversation(seconds: float, *, each: float = 30.0) -> tuple[bytes, list[str]]:
    """A WAV file of so many seconds at least, and the words that are said in it: a few every
    `each` seconds."""
    parts: list[NDArray[np.int16]] = []
    words: list[str] = []
    few = [one for one in right("en") if len(one.digits) <= 3]
    while len(parts) * each < seconds:
        one = few[len(parts) % len(few)]
        part = np.zeros(int(each * RATE), np.int16)
        said = samples(one)
        part[: len(said)] = said
        parts.append(part)
        words += one.said.split()
    return wav(np.concatenate(parts)), words
