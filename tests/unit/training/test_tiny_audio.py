"""tiny-whisper: what it was taught, its committed weights, and their score."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("av")

from training.tiny_audio.model import IGNORED, target
from training.tiny_audio.recordings import recordings
from training.tiny_audio.score import SCORE, WEIGHTS, digest, score
from training.tiny_audio.sounds import Digit, Recording, record
from training.tiny_audio.speech import RATE
from training.tiny_audio.tokenizer import NO_SPEECH, START, build_tokenizer
from training.tiny_audio.words import NUMERALS, WORDS

COMMITTED: dict[str, Any] = json.loads(SCORE.read_text(encoding="utf-8"))
ENOUGH = {"transformers-whisper": 45, "faster-whisper": 30}
"""Right transcripts, of 50 and of the 30 in English."""


def test_weights_take_at_most_two_megabytes_in_each_form() -> None:
    for name in ("model.safetensors", "ct2/model.bin"):
        assert (WEIGHTS / name).stat().st_size <= 2_000_000


def test_the_committed_score_is_that_of_the_committed_weights() -> None:
    assert COMMITTED["sha256"] == digest(WEIGHTS)
    for name, enough in ENOUGH.items():
        result = COMMITTED["engines"][name]
        assert result["right"] >= enough
        assert result["right"] + len(result["wrong"]) == result["of"]
    assert COMMITTED["engines"]["transformers-whisper"]["of"] == len(recordings()) == 50


def test_scoring_again_gives_the_committed_score() -> None:
    part = recordings()[:8] + recordings()[-4:]
    for name, result in score(WEIGHTS, part).items():
        wrong = {one["file"] for one in COMMITTED["engines"][name]["wrong"]}
        again = {one["file"] for one in result["wrong"]}
        expected = wrong & {one.file.name for one in part}
        assert len(again ^ expected) <= 1, name  # a last bit may decide between two


def test_files_have_the_tokens_of_the_script() -> None:
    built = json.loads(build_tokenizer().to_str())
    for name in ("tokenizer.json", "ct2/tokenizer.json"):
        assert json.loads((WEIGHTS / name).read_text(encoding="utf-8")) == built


def test_each_word_with_its_space_is_one_token() -> None:
    tokenizer = build_tokenizer()
    for word in (*WORDS["en"], *WORDS["de"], *NUMERALS):
        assert len(tokenizer.encode(f" {word}").ids) == 1


def test_a_recording_holds_each_digit_where_it_says() -> None:
    clips = {language: [[np.ones(RATE // 4, np.float32)]] * 10 for language in WORDS}
    for seed in range(20):
        made = record(clips, Random(seed), seconds=6, groups=3, cut=True)
        assert len(made.samples) == 6 * RATE
        assert made.digits
        ends = [0.0]
        for one in made.digits:
            assert ends[-1] <= one.start < one.end <= 6
            ends.append(one.end)
        assert made.cut is None or ends[-1] <= made.cut < 6


def test_what_is_to_be_written_follows_whisper() -> None:
    tokenizer = build_tokenizer()
    start, no_speech = tokenizer.token_to_id(START), tokenizer.token_to_id(NO_SPEECH)
    quiet = np.zeros(10, np.float32)
    spoken = Recording(quiet, "de", [Digit(1, 0.5, 0.9), Digit(2, 1.0, 1.5)])
    for seed in range(30):
        tokens, following = target(spoken, tokenizer, Random(seed))
        assert len(tokens) == len(following)
        at = tokens.index(start)
        assert all(one == IGNORED for one in following[:at])  # nothing is learned of a prompt
        assert following[at:-1] == tokens[at + 1 :]
        _, silent = target(Recording(quiet, "de", []), tokenizer, Random(seed))
        assert no_speech in silent
