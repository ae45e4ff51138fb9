"""What a window's tokens say, which may come next, and when words are said: without a model."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from xinfer.errors import InvalidRequest
from xinfer.model.audio.languages import language_code, language_name
from xinfer.model.audio.whisper.alignment import warp
from xinfer.model.audio.whisper.rules import TimeRules
from xinfer.model.audio.whisper.transcript import fitted
from xinfer.model.audio.whisper.vocabulary import Vocabulary
from xinfer.model.audio.whisper.windows import split
from xinfer.model.catalog.entries import entries
from xinfer.model.inspect.model import inspect_path
from xinfer.types.product import Word

FILES = next(entry for entry in entries("audio") if entry.name == "tiny-whisper").models()[0].path


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    size = 0
    for line in (Path(FILES) / "config.json").read_text().splitlines():
        if '"vocab_size"' in line:
            size = int(line.split(":")[1].strip(" ,"))
    return Vocabulary(FILES, SimpleNamespace(vocab_size=size))


def at(vocabulary: Vocabulary, seconds: float) -> int:
    return vocabulary.first_time + round(seconds * 50)


def allowed(vocabulary: Vocabulary, written: list[int], logits: torch.Tensor) -> set[int]:
    TimeRules(vocabulary).apply(logits, written)
    return {int(one) for one in (logits > -math.inf).nonzero()}


def test_segments_are_what_is_between_two_times(vocabulary: Vocabulary) -> None:
    one, two = vocabulary.encode(" one"), vocabulary.encode(" two three")
    written = [at(vocabulary, 0.5), *one, at(vocabulary, 1.5), at(vocabulary, 2)]
    made = split([*written, *two, at(vocabulary, 3)], vocabulary, seconds=30)
    assert [(part.start, part.end) for part in made.stretches] == [(0.5, 1.5), (2.0, 3.0)]
    assert [part.tokens for part in made.stretches] == [one, two]
    assert made.taken == 30


def test_a_segment_that_goes_on_beyond_the_window_is_left_to_the_next(
    vocabulary: Vocabulary,
) -> None:
    one = vocabulary.encode(" one")
    written = [at(vocabulary, 0.5), *one, at(vocabulary, 1.5), at(vocabulary, 28)]
    made = split(written, vocabulary, seconds=30)
    assert len(made.stretches) == 1
    assert made.taken == 1.5
    assert split([at(vocabulary, 12)], vocabulary, seconds=30).taken == 12


def test_text_without_an_end_lasts_as_long_as_the_window(vocabulary: Vocabulary) -> None:
    made = split([at(vocabulary, 0.5), *vocabulary.encode(" one")], vocabulary, seconds=4)
    assert [(part.start, part.end) for part in made.stretches] == [(0.5, 4)]


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.5])
def test_a_window_always_moves_on(vocabulary: Vocabulary, seconds: float) -> None:
    start = at(vocabulary, seconds)
    assert split([start], vocabulary, seconds=30).taken == 30
    written = [start, *vocabulary.encode(" one"), start, start]
    assert split(written, vocabulary, seconds=30).taken == 30


def test_a_window_begins_with_a_time(vocabulary: Vocabulary) -> None:
    may = allowed(vocabulary, [], torch.zeros(vocabulary.size))
    assert may
    assert min(may) == vocabulary.first_time
    assert vocabulary.latest_start is not None
    assert max(may) == vocabulary.first_time + vocabulary.latest_start


def test_text_follows_a_start_and_no_time_goes_back(vocabulary: Vocabulary) -> None:
    start, word = at(vocabulary, 1), vocabulary.encode(" one")
    behind_start = allowed(vocabulary, [start], torch.zeros(vocabulary.size))
    assert max(behind_start) <= vocabulary.end
    likely_text = torch.zeros(vocabulary.size)
    likely_text[word] = 50
    times = {
        one
        for one in allowed(vocabulary, [start, *word], likely_text)
        if one >= vocabulary.first_time
    }
    assert min(times) == start + 1
    behind_end = allowed(
        vocabulary, [start, *word, at(vocabulary, 2)], torch.zeros(vocabulary.size)
    )
    assert vocabulary.end not in behind_end  # all times together are likelier here
    assert min(behind_end) == at(vocabulary, 2)


def test_control_tokens_are_never_written(vocabulary: Vocabulary) -> None:
    written = [at(vocabulary, 1), *vocabulary.encode(" one")]
    logits = torch.zeros(vocabulary.size)
    logits[vocabulary.encode(" two")] = 50
    controls = set(range(vocabulary.end + 1, vocabulary.first_time))
    assert not controls & allowed(vocabulary, written, logits)


def test_words_are_tokens_up_to_the_next_space(vocabulary: Vocabulary) -> None:
    ids = vocabulary.encode(" seven overjoyed, fünf")
    words = vocabulary.words(ids, "en")
    assert [text for text, _ in words if text.strip(" ,")] == [" seven", " overjoyed", " fünf"]
    assert sum(count for _, count in words) == len(ids)
    chinese = vocabulary.encode("你好")
    assert [text for text, _ in vocabulary.words(chinese, "zh")] == ["你", "好"]


def test_what_looks_like_a_control_token_in_a_prompt_is_none(vocabulary: Vocabulary) -> None:
    ids = vocabulary.encode(" one <|endoftext|><|en|> two <|1.00|>")
    assert all(one < vocabulary.end for one in ids)


def test_a_directory_without_whispers_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"tokenizer\.json"):
        Vocabulary(str(tmp_path), SimpleNamespace(vocab_size=10))
    model = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0", "model": model}))
    with pytest.raises(InvalidRequest, match="no Whisper model"):
        Vocabulary(str(tmp_path), SimpleNamespace(vocab_size=10))


def test_words_stay_within_their_segment() -> None:
    words = [Word(0.0, 1.2, " one"), Word(1.2, 3.5, " two")]
    assert fitted(words, 1.0, 3.0) == (Word(1.0, 1.2, " one"), Word(1.2, 3.0, " two"))
    elsewhere = fitted(words, 6.0, 8.0)
    assert elsewhere == (Word(6.0, 7.0, " one"), Word(7.0, 8.0, " two"))
    assert fitted([], 1.0, 2.0) == ()


def test_the_cheapest_way_goes_through_what_costs_least() -> None:
    costs = np.ones((3, 6), np.float32)
    for row, columns in ((0, (0, 1)), (1, (2, 3, 4)), (2, (5,))):
        costs[row, list(columns)] = 0
    rows, columns = warp(costs)
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [
        (0, 0), (0, 1), (1, 2), (1, 3), (1, 4), (2, 5),
    ]  # fmt: skip


def test_the_way_costs_what_plain_dynamic_programming_finds() -> None:
    costs = np.random.default_rng(0).random((7, 19)).astype(np.float32)
    best = np.full((8, 20), np.inf)
    best[0, 0] = 0
    for row in range(1, 8):
        for column in range(1, 20):
            before = min(best[row - 1, column - 1], best[row - 1, column], best[row, column - 1])
            best[row, column] = costs[row - 1, column - 1] + before
    rows, columns = warp(costs)
    assert costs[rows, columns].sum() == pytest.approx(best[7, 19])
    steps = set(zip(np.diff(rows).tolist(), np.diff(columns).tolist(), strict=True))
    assert steps <= {(0, 1), (1, 0), (1, 1)}


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("EN", "en"),
        ("German", "de"),
        ("zh-CN", "zh"),
        ("pt_BR", "pt"),
        ("Mandarin", "zh"),
        ("xx", "xx"),
    ],
)
def test_languages_are_known_by_code_region_and_name(word: str, code: str) -> None:
    assert language_code(word) == code


def test_a_language_without_a_name_is_called_by_its_code() -> None:
    assert (language_name("de"), language_name("tlh")) == ("german", "tlh")


def test_both_forms_of_the_model_are_told_by_their_files() -> None:
    forms = [inspect_path(one) for one in (FILES, str(Path(FILES) / "ct2"))]
    assert [one.format for one in forms] == ["pytorch", "ctranslate2"]
    assert all((one.type, one.family) == ("audio", "whisper") for one in forms)
