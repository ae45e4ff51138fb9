"""The bytes behind each token."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.gguf_models import byte_level, sentencepiece
from tools.gguf_llama import ALPHABET
from xinfer.errors import InvalidRequest
from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.llm.tokenizer.pieces import CONTROL, Vocabulary, byte_of_character


def header(**tokenizer: Any) -> GgufMetadata:
    values = {f"tokenizer.ggml.{key}": value for key, value in tokenizer.items()}
    return GgufMetadata("a.gguf", values, (), 0, 0)


def test_byte_level_alphabet_is_gpt2s() -> None:
    assert byte_of_character() == {character: byte for byte, character in enumerate(ALPHABET)}
    assert byte_of_character()["Ġ"] == ord(" ")


def test_byte_level_pieces() -> None:
    made = byte_level(["你好".encode()])
    vocabulary = Vocabulary(header(model="gpt2", tokens=made.tokens, token_type=made.types))
    assert vocabulary.pieces[:256] == [bytes([byte]) for byte in range(256)]
    assert vocabulary.pieces[made.tokens.index("<think>")] == b"<think>"
    assert vocabulary.pieces[-1] == "你好".encode()
    assert [made.tokens[token] for token in vocabulary.ids_of_type(CONTROL)][1] == "<|im_start|>"


def test_sentencepiece_pieces() -> None:
    made = sentencepiece()
    vocabulary = Vocabulary(header(model="llama", tokens=made.tokens, token_type=made.types))
    assert vocabulary.pieces[made.tokens.index("<0x0A>")] == b"\n"
    assert vocabulary.pieces[made.tokens.index("▁the")] == b" the"
    assert vocabulary.pieces[made.tokens.index("<|im_end|>")] == b"<|im_end|>"


def test_piece_that_was_not_utf8_in_the_file_survives() -> None:
    vocabulary = Vocabulary(header(model="llama", tokens=["\udcff"], token_type=[1]))
    assert vocabulary.pieces == [b"\xff"]


def test_file_without_types_has_normal_tokens() -> None:
    assert Vocabulary(header(model="gpt2", tokens=["a"])).pieces == [b"a"]


@pytest.mark.parametrize(
    ("tokenizer", "reason"),
    [
        ({}, "no usable vocabulary"),
        ({"model": "gpt2", "tokens": ["a"], "token_type": [1, 1]}, "1 tokens and 2 token types"),
        ({"model": "bert", "tokens": ["a"]}, "kind 'bert'"),
    ],
)
def test_unusable_vocabularies_are_refused(tokenizer: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        Vocabulary(header(**tokenizer))
