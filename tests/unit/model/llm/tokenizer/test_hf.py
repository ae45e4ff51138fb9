"""The tokenizer of Transformers' files: ids of texts, and bytes that join to them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from tests.support.gguf_models import random_llama
from tools.hf_llama import write_tokenizer
from xinfer.errors import InvalidRequest
from xinfer.model.llm.tokenizer.hf import HfTokenizer, load_tokenizer

TEXTS = ["Hello world", " two  spaces", "你好 🎉 é", "<|im_start|>user\n", "a\x00b", ""]


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> HfTokenizer:
    path = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(random_llama(path / "m.gguf"), path)
    return load_tokenizer(path, eos_ids=frozenset({7}), vocabulary_size=500)


@pytest.fixture(scope="module")
def sentencepiece() -> HfTokenizer:
    """Words with a space before them, bytes for the rest, and a token that begins every text."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    words += ["▁", "▁Hello", "▁world", *"Helowrd"]
    merges = [("▁", "H"), ("▁H", "e"), ("▁He", "l"), ("▁Hel", "l"), ("▁Hell", "o")]
    words += ["▁H", "▁He", "▁Hel", "▁Hell"]
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    backend = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True)
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    backend.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    backend.add_special_tokens([AddedToken(word, special=True) for word in ("<s>", "</s>")])
    whole = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")
    return HfTokenizer(whole, eos_ids=frozenset(), vocabulary_size=len(vocabulary) + 5)


def joined(tokenizer: HfTokenizer, ids: list[int]) -> str:
    return b"".join(tokenizer.piece(token) for token in ids).decode()


@pytest.mark.parametrize("text", TEXTS)
def test_bytes_of_byte_level_tokens_join_to_the_text(byte_level: HfTokenizer, text: str) -> None:
    assert joined(byte_level, byte_level.encode(text, special=False)) == text


@pytest.mark.parametrize("text", ["Hello world", "你好 🎉", "x"])
def test_bytes_of_tokens_with_marked_spaces_join_to_the_text(
    sentencepiece: HfTokenizer, text: str
) -> None:
    assert joined(sentencepiece, sentencepiece.encode(text, special=False)) == f" {text}"


def test_control_tokens_in_a_text_are_recognised_only_where_that_is_asked_for(
    byte_level: HfTokenizer,
) -> None:
    control = byte_level.encode("<|im_start|>", special=True)
    assert len(control) == 1
    assert byte_level.piece(control[0]) == b""
    assert len(byte_level.encode("<|im_start|>", special=False)) > 1


def test_what_a_prompt_begins_with(byte_level: HfTokenizer, sentencepiece: HfTokenizer) -> None:
    assert byte_level.prompt_prefix() == []
    assert sentencepiece.prompt_prefix() == [1]


def test_ends_are_the_models_and_the_tokenizers_own(
    byte_level: HfTokenizer, sentencepiece: HfTokenizer
) -> None:
    (own,) = byte_level.encode("<|im_end|>", special=True)
    assert byte_level.eos_ids == {7, own}
    assert sentencepiece.eos_ids == {2}


def test_ids_without_a_token_are_empty_and_others_are_unknown(byte_level: HfTokenizer) -> None:
    assert byte_level.piece(499) == b""
    for token in (500, -1):
        with pytest.raises(IndexError):
            byte_level.piece(token)


def test_a_directory_without_one_is_refused_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(InvalidRequest, match="tokenizer") as refused:
        load_tokenizer(tmp_path, eos_ids=frozenset(), vocabulary_size=5)
    assert str(tmp_path) in refused.value.message
