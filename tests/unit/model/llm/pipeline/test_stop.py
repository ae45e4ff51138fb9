from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xinfer.model.llm.pipeline.stop import StopStrings

STOPS = st.lists(st.text("ab", min_size=1, max_size=5), min_size=1, max_size=5)
PIECES = st.lists(st.text("abc", max_size=4), max_size=10)


def naive(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Grow the text by one character at a time; the first that ends with a stop string ends it."""
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - max(map(len, found))], True
    return text, False


@given(PIECES, STOPS)
@example(["ab", "ab", "c"], ["abc", "b"])
@example(["a", "aab"], ["aab"])
@example(["abab"], ["ababb", "ba"])
def test_it_finds_what_a_search_of_the_whole_text_finds_however_the_text_is_cut(
    pieces: list[str], stops: list[str]
) -> None:
    whole, expected = naive("".join(pieces), stops)
    matcher = StopStrings(stops)
    text, stopped = "", False
    for piece in pieces:
        fresh, stopped = matcher.feed(piece)
        text += fresh
        assert whole.startswith(text)
        if stopped:
            break
    if not stopped:
        text += matcher.flush()
    assert (text, stopped) == (whole, expected)


@given(PIECES, STOPS)
def test_it_holds_back_no_more_than_what_may_become_a_stop_string(
    pieces: list[str], stops: list[str]
) -> None:
    matcher = StopStrings(stops)
    seen = delivered = ""
    for piece in pieces:
        seen += piece
        fresh, stopped = matcher.feed(piece)
        if stopped:
            return
        delivered += fresh
        held = seen[len(delivered) :]
        assert not held or any(stop.startswith(held) for stop in stops)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["one E", "N", "D two"], ["one ", "", ""]),
        (["one EN", "ER", "GY"], ["one ", "ENER", "GY"]),
        (["E", "E", "ND"], ["", "E", ""]),
    ],
)
def test_text_is_delivered_as_soon_as_it_cannot_belong_to_a_stop_string(
    pieces: list[str], expected: list[str]
) -> None:
    matcher = StopStrings(["END"])
    assert [matcher.feed(piece)[0] for piece in pieces] == expected


def test_the_longest_of_two_that_end_together_is_cut_off() -> None:
    assert StopStrings(["!", "stop!"]).feed("please stop! now") == ("please ", True)
