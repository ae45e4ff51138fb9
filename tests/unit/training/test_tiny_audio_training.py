"""The scripts that make tiny-whisper run for a few steps, and what they write is heard with."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("ctranslate2")

from training.tiny_audio import train as script
from training.tiny_audio.export import export
from training.tiny_audio.recordings import recordings
from training.tiny_audio.score import score
from training.tiny_audio.sounds import Clips
from training.tiny_audio.speech import RATE
from training.tiny_audio.train import Stage, train
from training.tiny_audio.words import WORDS


def tones(random: Random, count: int) -> Clips:
    """A pitch for each digit, in the place of espeak-ng's words."""
    seconds = np.arange(RATE // 4) / RATE
    return {
        language: [
            [np.sin(2 * np.pi * (200 + 50 * digit + 25 * number) * seconds).astype(np.float32)]
            for digit in range(10)
        ]
        for number, language in enumerate(WORDS)
    }


@pytest.mark.slow
def test_training_export_and_score_run_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "speak_all", tones)
    short = {"batch": 2, "groups": 2, "rate": 1e-3}
    stages = (
        Stage(steps=3, seconds=(2, 3), **short),
        Stage(steps=2, seconds=(30, 30), filled=0.5, decoder_only=True, **short),
    )
    train(tmp_path / "run", stages=stages)
    export(tmp_path / "run", tmp_path / "model")
    again = tmp_path / "again"
    train(again, stages=stages[:1], start=tmp_path / "run")
    assert (again / "training.pt").is_file()

    spoken = [recordings()[0], recordings()[-1]]
    assert [one.language for one in spoken] == ["en", "de"]
    results = score(tmp_path / "model", spoken)
    assert {name: result["of"] for name, result in results.items()} == {
        "transformers-whisper": 2,
        "faster-whisper": 1,
    }
