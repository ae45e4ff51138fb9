"""One request's thread: cancelling during the prompt, and errors in unexpected places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.model.llm.xllamacpp.driver import GREEDY
from xinfer.model.engine import TokenEvent, TokenRequest
from xinfer.model.inspect.gguf import read_gguf
from xinfer.model.inspect.sampling_defaults import NEUTRAL
from xinfer.model.llm.tokenizer.pieces import Vocabulary
from xinfer.model.llm.xllamacpp.generation import Generation
from xinfer.model.llm.xllamacpp.options import XllamacppOptions
from xinfer.model.llm.xllamacpp.server import Chunk, LlamaServer
from xinfer.model.llm.xllamacpp.stream import PieceIndex

OPTIONS = XllamacppOptions(n_threads=1, n_parallel=1, n_batch=64)


@pytest.fixture(scope="module")
def server(slow: Path) -> Iterator[LlamaServer]:
    running = LlamaServer(str(slow), 8192, OPTIONS)
    yield running
    running.close()


@pytest.fixture(scope="module")
def index(slow: Path) -> PieceIndex:
    return PieceIndex(Vocabulary(read_gguf(slow)).pieces)


class Watched:
    """Stands between llama.cpp and a generation, and sees the chunks."""

    def __init__(self, server: LlamaServer, watch: Callable[[Chunk], None]) -> None:
        self._server = server
        self._watch = watch

    def complete(self, body: dict[str, Any], on_chunk: Callable[[Chunk], bool]) -> Chunk:
        def seen(chunk: Chunk) -> bool:
            self._watch(chunk)
            return on_chunk(chunk)

        return self._server.complete(body, seen)


def generation(
    index: PieceIndex,
    prompt: list[int],
    emit: Callable[[TokenEvent], None],
    max_tokens: int = 5,
) -> Generation:
    request = TokenRequest(id=1, prompt=prompt, max_tokens=max_tokens, sampling=GREEDY)
    return Generation(request, defaults=dict(NEUTRAL), index=index, end_ids=frozenset(), emit=emit)


def test_cancel_takes_effect_within_one_batch_of_the_prompt(
    server: LlamaServer, index: PieceIndex
) -> None:
    prompt = [65 + number % 26 for number in range(4000)]
    events: list[TokenEvent] = []
    processed: list[int] = []
    running = generation(index, prompt, events.append)

    def cancel_during_the_prompt(chunk: Chunk) -> None:
        processed.append(chunk["prompt_progress"]["processed"])
        if processed[-1] > 0:
            running.cancelled = True

    last = running.run(Watched(server, cancel_during_the_prompt))  # type: ignore[arg-type]
    assert last.finish == "abort"
    assert events == []
    assert 0 < processed[-1] <= 2 * OPTIONS.n_batch
    assert generation(index, [72], events.append).run(server).finish == "length"


def test_error_while_handing_over_ends_the_request_with_it(
    server: LlamaServer, index: PieceIndex
) -> None:
    def refuse(_: TokenEvent) -> None:
        raise RuntimeError("nobody takes it")

    last = generation(index, [72], refuse).run(server)
    assert last.finish == "error"
    assert last.failure is not None
    assert last.failure.message == "RuntimeError: nobody takes it"
    events: list[TokenEvent] = []
    assert generation(index, [72], events.append).run(server).finish == "length"


def test_unreadable_chunk_is_made_again_with_its_bytes(noise: Path) -> None:
    server = LlamaServer(str(noise), 512, OPTIONS)
    index = PieceIndex(Vocabulary(read_gguf(noise)).pieces)
    exact: list[bool] = []

    def watch(chunk: Chunk) -> None:
        choice = chunk["choices"][0]
        if choice["text"]:
            exact.append(choice["logprobs"] is not None)

    events: list[TokenEvent] = []
    prompt = [72, 105, 32, 33]
    running = generation(index, prompt, events.append, max_tokens=60)
    assert running.run(Watched(server, watch)).finish == "length"  # type: ignore[arg-type]
    expected = server.complete(
        {"prompt": prompt, "max_tokens": 60, "temperature": 0, "return_tokens": True}
        | {"verbose": True}
    )
    server.close()
    assert [token for event in events for token in event.ids] == expected["__verbose"]["tokens"]
    assert exact[0] is False
    assert exact[-1] is True


class Silent:
    def complete(self, body: dict[str, Any], on_chunk: Callable[[Chunk], bool]) -> Chunk:
        return {}


def test_end_without_a_last_chunk_is_an_error(index: PieceIndex) -> None:
    last = generation(index, [72], lambda _: None).run(Silent())  # type: ignore[arg-type]
    assert last.finish == "error"
    assert last.failure is not None
    assert "without saying why" in last.failure.message
