"""What is spoken at once."""

from __future__ import annotations

import pytest

from xinfer.model.audio.speaking.sentences import sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello there. How are you?", ["Hello there.", "How are you?"]),
        ('She said "no." Then she left!', ['She said "no.', "Then she left!"]),
        ("version 1.5 is out", ["version 1.5 is out"]),
        ("你好。今天好吗？很好！", ["你好。", "今天好吗？", "很好！"]),
        ("one\n\ntwo\n", ["one", "two"]),
        ("  ", []),
    ],
)
def test_a_text_is_divided_into_its_sentences(text: str, expected: list[str]) -> None:
    made = sentences(text, longest=100)
    assert [one.replace('"', "") for one in made] == [one.replace('"', "") for one in expected]


def test_a_long_sentence_is_divided_at_pauses_then_between_words_then_anywhere() -> None:
    assert sentences("one two, three four, five six", longest=12) == [
        "one two,",
        "three four,",
        "five six",
    ]
    assert sentences("aa bb cc dd", longest=5) == ["aa bb", "cc dd"]
    assert sentences("abcdefgh", longest=3) == ["abc", "def", "gh"]


@pytest.mark.parametrize("longest", [5, 17, 60])
def test_no_piece_is_too_long_and_no_word_is_lost(longest: int) -> None:
    text = "It was, as far as I know, the best; or was it? Nobody knows... certainly not me."
    made = sentences(text, longest=longest)
    assert max(map(len, made)) <= longest
    assert "".join(made).replace(" ", "") == text.replace(" ", "")
