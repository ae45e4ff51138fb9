"""The tokenizer of a GGUF file against llama.cpp's own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.gguf_models import byte_level, random_llama, sentencepiece
from xinfer.model.inspect.gguf import GgufMetadata, read_gguf
from xinfer.model.llm.tokenizer.encoder import PATTERNS
from xinfer.model.llm.tokenizer.gguf import GgufTokenizer
from xinfer.model.llm.tokenizer.pieces import Vocabulary
from xinfer.model.llm.tokenizer.selfcheck import Encode
from xinfer.model.llm.xllamacpp.options import XllamacppOptions
from xinfer.model.llm.xllamacpp.server import LlamaServer


@contextmanager
def llama_cpp(path: Path) -> Iterator[LlamaServer]:
    server = LlamaServer(str(path), 256, XllamacppOptions(n_threads=1, n_parallel=1))
    try:
        yield server
    finally:
        server.close()


def make(gguf: GgufMetadata, reference: Encode) -> GgufTokenizer:
    return GgufTokenizer(
        gguf,
        Vocabulary(gguf),
        reference=reference,
        eos_ids=frozenset({1}),
        prompt_prefix=[7],
    )


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> GgufMetadata:
    return read_gguf(random_llama(tmp_path_factory.mktemp("models") / "qwen.gguf"))


@pytest.fixture(scope="module")
def server(qwen: GgufMetadata) -> Iterator[LlamaServer]:
    with llama_cpp(Path(qwen.path)) as running:
        yield running


@pytest.mark.parametrize("pre", sorted(PATTERNS))
def test_every_byte_level_kind_passes_its_self_check(pre: str, tmp_path: Path) -> None:
    path = random_llama(tmp_path / "model.gguf", pre=pre)
    with llama_cpp(path) as server:
        assert make(read_gguf(path), server.tokenize).native


def test_sentencepiece_passes_its_self_check(tmp_path: Path) -> None:
    path = random_llama(tmp_path / "model.gguf", vocabulary=sentencepiece(), pre=None)
    with llama_cpp(path) as server:
        tokenizer = make(read_gguf(path), server.tokenize)
        assert tokenizer.native
        ids = tokenizer.encode("the world 你", special=False)
        assert b"".join(map(tokenizer.piece, ids)).decode() == " the world 你"


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(
        st.one_of(
            st.sampled_from(["<|im_end|>", "<think>", "</think>", " ", "\n", "the", "你"]),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        ),
        max_size=6,
    ),
    special=st.booleans(),
)
def test_encodes_like_llama_cpp(
    qwen: GgufMetadata, server: LlamaServer, parts: list[str], special: bool
) -> None:
    text = "".join(parts)
    tokenizer = cached_tokenizer(qwen, server)
    assert tokenizer.encode(text, special=special) == server.tokenize(text, special)


_TOKENIZERS: dict[str, GgufTokenizer] = {}


def cached_tokenizer(gguf: GgufMetadata, server: LlamaServer) -> GgufTokenizer:
    if gguf.path not in _TOKENIZERS:
        _TOKENIZERS[gguf.path] = make(gguf, server.tokenize)
    return _TOKENIZERS[gguf.path]


def test_control_tokens_in_a_text_are_recognised_only_on_request(
    qwen: GgufMetadata, server: LlamaServer
) -> None:
    tokenizer = cached_tokenizer(qwen, server)
    end = byte_level().tokens.index("<|im_end|>")
    assert tokenizer.encode("<|im_end|>", special=True) == [end]
    assert end not in tokenizer.encode("<|im_end|>", special=False)


def test_pieces_spell_the_text_again_without_control_tokens(
    qwen: GgufMetadata, server: LlamaServer
) -> None:
    tokenizer = cached_tokenizer(qwen, server)
    ids = tokenizer.encode("Hello 你 🎉<|im_end|><think>", special=True)
    assert b"".join(map(tokenizer.piece, ids)).decode() == "Hello 你 🎉<think>"


def test_facts_come_from_the_file(qwen: GgufMetadata, server: LlamaServer) -> None:
    tokenizer = cached_tokenizer(qwen, server)
    assert tokenizer.special_tokens == {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>"}
    assert tokenizer.chat_template == qwen.chat_template
    assert tokenizer.vocabulary_size == len(byte_level().tokens)
    assert tokenizer.eos_ids == {1}
    assert tokenizer.prompt_prefix() == [7]
    assert tokenizer.encode("", special=True) == []


def test_tokens_for_filling_in_are_those_that_the_file_names(
    qwen: GgufMetadata, server: LlamaServer
) -> None:
    tokens = byte_level().tokens
    newer = {"fim_pre_token_id": 5, "fim_suf_token_id": 6, "fim_mid_token_id": 7}
    older = {"prefix_token_id": 8, "suffix_token_id": 9, "middle_token_id": 10}
    for named, first in (({**older, **newer}, 5), (older, 8)):
        gguf = changed("qwen2", **named)(qwen)
        special = make(gguf, server.tokenize).special_tokens
        found = [special[f"fim_{name}_token"] for name in ("pre", "suf", "mid")]
        assert found == tokens[first : first + 3]


@pytest.mark.parametrize("token", [-1, 10**6])
def test_unknown_token_has_no_piece(qwen: GgufMetadata, server: LlamaServer, token: int) -> None:
    with pytest.raises(IndexError):
        cached_tokenizer(qwen, server).piece(token)


def changed(pre: str | None, **values: object) -> Callable[[GgufMetadata], GgufMetadata]:
    def change(gguf: GgufMetadata) -> GgufMetadata:
        merged = {**gguf.values, "tokenizer.ggml.pre": pre}
        merged.update({f"tokenizer.ggml.{key}": value for key, value in values.items()})
        return GgufMetadata(gguf.path, merged, gguf.tensors, gguf.data_offset, gguf.file_size)

    return change


@pytest.mark.parametrize(
    ("change", "level", "message"),
    [
        (changed("default"), logging.INFO, "is not one built here"),
        (changed(None), logging.INFO, "is not one built here"),
        (changed("qwen2", merges=[]), logging.INFO, "is not one built here"),
        (changed("qwen2", merges=["no such"]), logging.WARNING, "cannot be built"),
        (changed("command-r"), logging.WARNING, "differs from the engine's own on"),
    ],
)
def test_whatever_does_not_provably_agree_leaves_encoding_to_the_engine(
    qwen: GgufMetadata,
    server: LlamaServer,
    change: Callable[[GgufMetadata], GgufMetadata],
    level: int,
    message: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    tokenizer = make(change(qwen), server.tokenize)
    assert not tokenizer.native
    assert tokenizer.encode("12 the world", special=False) == server.tokenize("12 the world", False)
    assert any(message in record.message and record.levelno == level for record in caplog.records)
