"""llama.cpp's server in this process: loading, and failing to load."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from tests.support.gguf_models import random_llama
from xinfer.errors import EngineFailed, InvalidRequest
from xinfer.model.llm.xllamacpp.options import XllamacppOptions
from xinfer.model.llm.xllamacpp.server import LlamaServer
from xinfer.model.xllamacpp.server import captured_stderr

OPTIONS = XllamacppOptions(n_threads=1, n_parallel=1)


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Short: a unix socket's path has 108 bytes at most.
    directory = tmp_path_factory.mktemp("t")
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llama(tmp_path_factory.mktemp("models") / "model.gguf")


def damaged(model: Path, tmp_path: Path, old: bytes, new: bytes) -> Path:
    path = tmp_path / "damaged.gguf"
    content = model.read_bytes()
    assert content.count(old) >= 1
    path.write_bytes(content.replace(old, new))
    return path


def test_socket_is_out_of_others_reach_and_goes_with_the_server(
    model: Path, temporary: Path
) -> None:
    server = LlamaServer(str(model), 256, OPTIONS)
    (directory,) = temporary.iterdir()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [stat.S_ISSOCK(path.stat().st_mode) for path in directory.iterdir()] == [True]
    server.close()
    assert list(temporary.iterdir()) == []


def test_answers_without_its_socket_but_for_tokenizing(model: Path, temporary: Path) -> None:
    server = LlamaServer(str(model), 256, OPTIONS)
    server.remove_socket()
    assert list(temporary.iterdir()) == []
    assert server.complete({"prompt": [72], "max_tokens": 1})["usage"]["completion_tokens"] == 1
    with pytest.raises(EngineFailed, match="does not answer"):
        server.tokenize("a", False)
    server.close()


def test_refused_request_is_an_error(model: Path) -> None:
    server = LlamaServer(str(model), 256, OPTIONS)
    with pytest.raises(InvalidRequest, match="exceeds the available context size"):
        server.complete({"prompt": [72] * 1000, "max_tokens": 1})
    server.close()


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"llama", b"llima", "unknown model architecture: 'llima'"),
        (b"blk.1.ffn_up", b"blk.1.ffn_no", "tensor 'blk.1.ffn_up.weight' not found"),
        (b"ggml.merges", b"ggml.nerges", "cannot find tokenizer merges"),
    ],
)
def test_failed_load_gives_llama_cpps_own_reason_and_leaves_nothing(
    model: Path, tmp_path: Path, temporary: Path, old: bytes, new: bytes, reason: str
) -> None:
    path = damaged(model, tmp_path, old, new)
    with pytest.raises(InvalidRequest, match=reason) as raised:
        LlamaServer(str(path), 256, OPTIONS)
    assert raised.value.message.startswith(f"llama.cpp cannot load {path}: ")
    assert list(temporary.iterdir()) == []


def test_template_that_llama_cpp_cannot_parse_is_no_obstacle(tmp_path: Path) -> None:
    path = random_llama(tmp_path / "model.gguf", template="{% for x in %} broken")
    LlamaServer(str(path), 256, OPTIONS).close()


def test_captured_stderr_is_read_and_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    with captured_stderr() as read:
        os.write(2, "from C: ü\n".encode())
        assert read() == "from C: ü\n"
        assert capfd.readouterr().err == ""
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "from C: ü\nafter\n"
