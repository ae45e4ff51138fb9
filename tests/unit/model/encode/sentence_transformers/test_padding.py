"""What is computed together, and how it is filled up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xinfer.model.encode.sentence_transformers.padding import features, padded_groups
from xinfer.model.encode_engine import Encoded


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 200), st.integers(1, 9))
def test_groups_keep_to_the_budget_with_their_padding(
    lengths: list[int], tokens: int, items: int
) -> None:
    made = list(padded_groups(lengths, tokens=tokens, items=items))
    assert sorted(index for group in made for index in group) == list(range(len(lengths)))
    for group in made:
        longest = max(lengths[index] for index in group)
        assert 0 < len(group) <= items
        assert longest * len(group) <= tokens or len(group) == 1
    ordered = [lengths[index] for group in made for index in group]
    assert ordered == sorted(lengths, reverse=True)


def test_texts_are_filled_up_behind_their_end() -> None:
    made = features([Encoded([5, 6, 7], (0, 3)), Encoded([8], (0, 1))], padding=9, second_type=0)
    assert made["input_ids"].tolist() == [[5, 6, 7], [8, 9, 9]]
    assert made["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert "token_type_ids" not in made


def test_types_tell_a_document_and_what_follows_it() -> None:
    pair, text = Encoded([1, 5, 2, 6, 2], (3, 4), pair=True), Encoded([1, 7, 2], (1, 2))
    made = features([pair, text], padding=0, second_type=1)
    assert made["token_type_ids"].tolist() == [[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]
    cut = pair.shortened(4)
    made = features([cut], padding=0, second_type=1)
    assert made["token_type_ids"].tolist() == [[0, 0, 0, 1]]
