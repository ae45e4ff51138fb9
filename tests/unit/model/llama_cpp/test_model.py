"""What a loaded model tells of its vocabulary, and how a load that fails is explained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gguf_models import byte_level, random_llama, sentencepiece
from xinfer.errors import EngineFailed, InvalidRequest, Unavailable
from xinfer.model.inspect.gguf import read_gguf
from xinfer.model.llama_cpp.model import LlamaModel, load_failure
from xinfer.model.llama_cpp.options import ModelOptions
from xinfer.model.llm.tokenizer.pieces import Vocabulary

VOCABULARIES = {"byte level": byte_level(), "sentencepiece": sentencepiece()}


@pytest.fixture(scope="module", params=list(VOCABULARIES))
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    vocabulary = VOCABULARIES[request.param]
    pre = "qwen2" if request.param == "byte level" else None
    directory = tmp_path_factory.mktemp("models")
    return random_llama(directory / "a.gguf", vocabulary=vocabulary, pre=pre)


@pytest.fixture(scope="module")
def model(path: Path) -> Iterator[LlamaModel]:
    loaded = LlamaModel(str(path), ModelOptions(), gpu_layers=0, progress=lambda _: None)
    yield loaded
    loaded.close()


def test_pieces_of_llama_cpp_are_those_read_from_the_file(model: LlamaModel, path: Path) -> None:
    own = Vocabulary(read_gguf(path))
    told = model.pieces()
    assert len(told) == len(own.pieces)
    differing = [n for n in range(len(told)) if told[n] != own.pieces[n] and own.types[n] != 2]
    assert differing == []


def test_ends_of_text_are_known(model: LlamaModel, path: Path) -> None:
    tokens = Vocabulary(read_gguf(path)).tokens
    assert {tokens[token] for token in model.end_ids} == {"<|im_end|>", "<|endoftext|>"}


def test_progress_that_raises_ends_the_load(path: Path) -> None:
    def stop(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LlamaModel(str(path), ModelOptions(), gpu_layers=0, progress=stop)


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("ggml: failed to allocate buffer of size 5", Unavailable, "smaller n_ctx"),
        ("load: error loading model: missing tensor 'x'.", InvalidRequest, "missing tensor 'x'."),
        ("something else", EngineFailed, "something else"),
    ],
)
def test_failure_to_load_is_explained(line: str, kind: type[Exception], words: str) -> None:
    error = load_failure("/m.gguf", [line, line])
    assert type(error) is kind
    assert "/m.gguf" in str(error)
    assert words in str(error)


def test_failure_without_a_word_is_still_an_error() -> None:
    assert "gave no reason" in str(load_failure("/m.gguf", []))
