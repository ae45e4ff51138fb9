"""The held-out recordings: `python -m training.tiny_audio.recordings`. Needs espeak-ng.

They are of pitches and speeds that no training recording has, with noise of their own, and are kept
compressed, so that the score needs no espeak-ng.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np

from training.tiny_audio.sounds import coloured
from training.tiny_audio.speech import (
    ACCENTS,
    HELD_OUT_PITCHES,
    HELD_OUT_SPEEDS,
    RATE,
    VOICES,
    Clip,
    speak,
)
from training.tiny_audio.words import WORDS, text

HERE = Path(__file__).parent / "held_out"
INDEX = HERE / "index.json"
ENGLISH, GERMAN = 30, 20


class Spoken(NamedTuple):
    """A recording, and what is said in it."""

    file: Path
    language: str
    digits: list[int]

    @property
    def said(self) -> str:
        return text(self.digits, WORDS[self.language]).strip()


def recordings() -> list[Spoken]:
    """Those that are kept."""
    listed = json.loads(INDEX.read_text(encoding="utf-8"))
    return [Spoken(HERE / one["file"], one["language"], one["digits"]) for one in listed]


def make(random: Random) -> None:
    """Write them anew."""
    HERE.mkdir(exist_ok=True)
    listed = []
    for number in range(ENGLISH + GERMAN):
        language = "en" if number < ENGLISH else "de"
        digits = [random.randrange(10) for _ in range(random.randrange(2, 7))]
        samples = said(language, digits, random)
        name = f"{number:02}-{language}.ogg"
        write_opus(HERE / name, samples)
        listed.append({"file": name, "language": language, "digits": digits})
    INDEX.write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")


def write_opus(path: Path, samples: Clip) -> None:
    """A small file."""
    import av

    with av.open(str(path), "w", format="ogg") as file:
        stream = file.add_stream("libopus", rate=RATE)
        stream.layout = "mono"
        stream.bit_rate = 16_000
        pcm = (samples * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = RATE
        file.mux([*stream.encode(frame), *stream.encode(None)])


def said(language: str, digits: list[int], random: Random) -> Clip:
    """The digits in one voice, with noise, and silence before and behind."""
    voice = ACCENTS[language] + random.choice(VOICES)
    pitch, speed = random.choice(HELD_OUT_PITCHES), random.choice(HELD_OUT_SPEEDS)
    parts: list[Clip] = [np.zeros(int(random.uniform(0.1, 0.8) * RATE), np.float32)]
    for digit in digits:
        parts.append(speak(WORDS[language][digit], voice, pitch=pitch, speed=speed))
        parts.append(np.zeros(int(random.uniform(0.05, 0.25) * RATE), np.float32))
    parts.append(np.zeros(int(random.uniform(0.1, 0.6) * RATE), np.float32))
    return coloured(np.concatenate(parts), random)


if __name__ == "__main__":
    make(Random(2))
