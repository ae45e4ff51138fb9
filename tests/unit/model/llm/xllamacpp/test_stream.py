"""Ids out of chunks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinfer.model.llm.xllamacpp.stream import (
    IdStream,
    PieceIndex,
    Unreadable,
    ends_inside_character,
)

BYTES = [bytes([byte]) for byte in range(256)]
PARTY = "🎉".encode()


def chunk(token: int, count: int, data: bytes, *, exact: bool = False) -> dict[str, Any]:
    bytes_given = {"content": [{"bytes": list(data)}]} if exact else None
    return {
        "__verbose": {"tokens": [token], "tokens_predicted": count},
        "choices": [{"text": data.decode("utf-8", "replace"), "logprobs": bytes_given}],
    }


@given(text=st.text(min_size=1), cut=st.integers(0))
def test_a_cut_text_ends_inside_a_character_or_does_not(text: str, cut: int) -> None:
    data = text.encode("utf-8", "replace")
    start = data[: cut % (len(data) + 1)]
    whole = len(start.decode("utf-8", "ignore").encode())
    assert ends_inside_character(start) is (whole < len(start))


def test_one_token_a_chunk_is_that_token() -> None:
    ids = IdStream(PieceIndex(BYTES))
    assert [ids.feed(chunk(65 + n, n + 1, b"")) for n in range(3)] == [[65], [66], [67]]


def test_held_tokens_are_found_by_their_bytes() -> None:
    ids = IdStream(PieceIndex(BYTES))
    assert ids.feed(chunk(65, 1, b"A")) == [65]
    assert ids.feed(chunk(PARTY[3], 5, PARTY)) == list(PARTY)
    assert ids.count == 5


def test_count_decides_between_long_and_short_tokens() -> None:
    index = PieceIndex([*BYTES, PARTY[:2]])
    assert IdStream(index).feed(chunk(PARTY[3], 4, PARTY)) == list(PARTY)
    assert IdStream(index).feed(chunk(PARTY[3], 3, PARTY)) == [256, PARTY[2], PARTY[3]]


def test_longest_first_token_wins_where_bytes_leave_a_choice() -> None:
    index = PieceIndex([*BYTES, PARTY[1:3], PARTY[:2]])
    assert index.split(PARTY[:3], 2) == [257, PARTY[2]]


def test_first_of_equal_pieces_wins() -> None:
    assert PieceIndex([b"\xf0", b"\xf0"]).find(b"\xf0") == 0


def test_token_that_llama_cpp_would_not_have_held_is_no_answer() -> None:
    assert PieceIndex(BYTES).split(b"ab", 2) is None


@given(st.lists(st.sampled_from([0xE4, 0xBD, 0xF0, 0x9F, 0x8E]), min_size=1, max_size=24))
def test_long_runs_of_broken_bytes_stay_quick(data: list[int]) -> None:
    index = PieceIndex([*BYTES, b"\xf0\x9f", b"\xe4\xbd", b"\xf0\x9f\x8e", b"\xbd\xf0"])
    count = len(data) // 2 + 1
    found = index.split(bytes(data), count)
    if found is not None:
        assert len(found) == count
        assert b"".join(index.pieces[token] for token in found) == bytes(data)


@pytest.mark.parametrize("data", [b"ab", "🎉".encode()])
def test_text_that_no_tokens_spell_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        IdStream(PieceIndex(BYTES)).feed(chunk(ord("b"), 3, data))


def test_broken_characters_are_read_from_their_bytes_alone() -> None:
    data = PARTY[:2] + b"A"
    assert IdStream(PieceIndex(BYTES)).feed(chunk(ord("A"), 3, data, exact=True)) == list(data)
    with pytest.raises(Unreadable, match="lost bytes"):
        IdStream(PieceIndex(BYTES)).feed(chunk(ord("A"), 3, data))
