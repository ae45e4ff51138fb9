"""The benchmarks' model: its prompts are as long as asked for, and all that it says is text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.model import prompts, vocabulary, write
from tools.gguf_llama import Shape
from xinfer.model.llm.xllamacpp.options import XllamacppOptions
from xinfer.model.llm.xllamacpp.server import LlamaServer

SMALL = Shape(width=64, layers=1, feed_forward=96, heads=2, kv_heads=1, context=256)
WORDS = 2000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaServer]:
    path = write(tmp_path_factory.mktemp("models") / "small.gguf", vocabulary(WORDS), SMALL)
    running = LlamaServer(str(path), 256, XllamacppOptions(n_threads=1, n_parallel=1))
    yield running
    running.close()


def test_a_vocabulary_has_as_many_different_tokens_as_asked_for() -> None:
    assert len(set(vocabulary(WORDS).tokens)) == WORDS


def test_llama_cpp_reads_a_prompt_as_so_many_tokens(server: LlamaServer) -> None:
    for text in prompts(5, tokens=64, seed=3):
        assert len(server.tokenize(text, special=True, prefix=True)) == 64


def test_prompts_differ_from_the_first_token_on(server: LlamaServer) -> None:
    texts = prompts(128, tokens=4, seed=3)
    assert len({server.tokenize(text, special=True)[0] for text in texts}) == 128


def test_other_seeds_are_other_prompts_and_the_same_seed_the_same() -> None:
    assert prompts(3, tokens=8, seed=1) == prompts(3, tokens=8, seed=1)
    assert not set(prompts(3, tokens=8, seed=1)) & set(prompts(3, tokens=8, seed=2))


def test_every_token_that_it_generates_is_text_at_once(server: LlamaServer) -> None:
    chunks: list[str] = []

    def take(chunk: dict[str, Any]) -> bool:
        chunks.extend(choice["text"] for choice in chunk.get("choices", []) if choice["text"])
        return False

    body = {"prompt": "ab cd", "max_tokens": 32, "temperature": 1.0, "ignore_eos": True}
    server.complete(body, take)
    assert len(chunks) == 32
    assert all(text.isascii() and text.replace(" ", "").isalpha() for text in chunks)
