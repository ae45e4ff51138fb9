"""Projectors: found beside the model or named, and checked before llama.cpp sees them."""

from __future__ import annotations

import logging
import shutil
import struct
from pathlib import Path

import pytest

from tests.support.gguf_additions import audio_tower, vision_tower
from xinfer.errors import InvalidRequest
from xinfer.model.inspect.model import inspect_path
from xinfer.model.llm.llama_cpp.engine import LlamaCppEngine
from xinfer.model.llm.llama_cpp.options import LlamaCppOptions
from xinfer.model.llm.llama_cpp.projector import find_projector


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vision_tower(tmp_path_factory.mktemp("towers") / "tower.gguf", 64)


@pytest.fixture
def model(tmp_path: Path, noise: Path) -> Path:
    """A model in a directory of its own."""
    return Path(shutil.copy(noise, tmp_path / "model.gguf"))


def found(model: Path, option: str = "auto") -> str | None:
    projector = find_projector(str(model), option)
    return None if projector is None else Path(projector.path).name


def test_one_beside_the_model_is_taken(model: Path, tower: Path) -> None:
    assert found(model) is None
    shutil.copy(tower, model.with_name("mmproj-F16.gguf"))
    assert found(model) == "mmproj-F16.gguf"
    assert found(model, "off") is None


def test_of_several_beside_the_model_none_is_taken_unless_it_is_named(
    model: Path, tower: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("mmproj-a.gguf", "MMPROJ-b.gguf"):
        shutil.copy(tower, model.with_name(name))
    assert found(model) is None
    assert "MMPROJ-b.gguf, mmproj-a.gguf" in caplog.text
    assert found(model, str(model.with_name("mmproj-a.gguf"))) == "mmproj-a.gguf"


def test_a_directory_stands_for_the_one_in_it(model: Path, tower: Path) -> None:
    directory = model.with_name("elsewhere")
    directory.mkdir()
    with pytest.raises(InvalidRequest, match="has not one projector") as raised:
        found(model, str(directory))
    assert raised.value.param == "mmproj"
    shutil.copy(tower, directory / "mmproj.gguf")
    assert found(model, str(directory)) == "mmproj.gguf"


def test_a_projector_is_no_model_of_its_directory(model: Path, tower: Path) -> None:
    shutil.copy(tower, model.with_name("mmproj.gguf"))
    assert inspect_path(str(model.parent)).path == str(model)


def test_a_bad_one_beside_the_model_is_left_alone_and_said_so(
    model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model.with_name("mmproj.gguf").write_text("no projector")
    assert found(model) is None
    assert "takes no pictures" in caplog.text


KEY = b"clip.vision.attention.head_count"


def of(kind: int, value: int) -> bytes:
    return struct.pack("<II", kind, value)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"GGUF", b"GGUX", "signature"),
        (b"clip.has_vision_encoder", b"clip.has_vision_encodes", "no projector for pictures"),
        (b"clip.projector_type", b"clip.projector_tyqe", "does not say what kind"),
        (b"clip.use_gelu" + b"\7\0\0\0", b"clip.use_gelu" + b"\0\0\0\0", "truth value"),
        (KEY + of(4, 2), KEY + of(6, 2), "expected a whole number"),
        (KEY + of(4, 2), KEY + of(4, 0), "0 attention heads"),
        (KEY + of(4, 2), KEY + of(4, 3), "3 attention heads in a width of 32"),
    ],
)
def test_a_file_that_would_end_the_process_is_refused(
    model: Path, tower: Path, old: bytes, new: bytes, reason: str
) -> None:
    content = tower.read_bytes()
    assert old in content
    bad = model.with_name("bad.gguf")
    bad.write_bytes(content.replace(old, new, 1))
    with pytest.raises(InvalidRequest, match=reason) as raised:
        found(model, str(bad))
    assert raised.value.param == "mmproj"
    assert str(bad) in raised.value.message


HEARS = b"clip.audio.attention.head_count"


def test_one_that_hears_is_a_projector_too(model: Path) -> None:
    audio_tower(model.with_name("mmproj-audio.gguf"), 64)
    assert found(model) == "mmproj-audio.gguf"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"clip.has_audio_encoder", b"clip.has_audio_encodes", "no projector for pictures or"),
        (HEARS + of(4, 2), HEARS + of(6, 2), "clip.audio.attention.head_count; expected a whole"),
        (HEARS + of(4, 2), HEARS + of(4, 3), "3 attention heads in a width of 32"),
        (b"clip.audio.num_mel_bins" + of(4, 128), b"clip.audio.num_mel_bins" + of(6, 1), "num_mel"),
    ],
)
def test_one_that_hears_is_held_to_the_same(
    model: Path, old: bytes, new: bytes, reason: str
) -> None:
    tower = audio_tower(model.with_name("audio.gguf"), 64)
    content = tower.read_bytes()
    assert old in content
    tower.write_bytes(content.replace(old, new, 1))
    with pytest.raises(InvalidRequest, match=reason):
        found(model, str(tower))


def test_a_file_that_is_cut_or_not_there_is_refused(model: Path, tower: Path) -> None:
    bad = model.with_name("bad.gguf")
    with pytest.raises(InvalidRequest, match="Cannot read"):
        found(model, str(bad))
    bad.write_bytes(tower.read_bytes()[:-1])
    with pytest.raises(InvalidRequest, match="incomplete"):
        found(model, str(bad))
    with pytest.raises(InvalidRequest, match="no projector for pictures"):
        found(model, str(model))


def loaded(model: Path, **options: str) -> bool:
    """Whether the engine takes pictures."""
    settings = LlamaCppOptions(n_ctx=64, n_threads=1, n_parallel=1, **options)
    engine = LlamaCppEngine(inspect_path(str(model)), settings)
    try:
        return engine.load(lambda _: None).abilities.media
    finally:
        engine.close()


def test_a_projector_of_another_model_is_refused_where_it_was_named(
    model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = vision_tower(model.with_name("mmproj.gguf"), 128)
    with pytest.raises(InvalidRequest, match="mismatch between text model") as raised:
        loaded(model, mmproj=str(other))
    assert raised.value.param == "mmproj"
    caplog.set_level(logging.WARNING)
    assert not loaded(model)
    assert "takes no pictures" in caplog.text


def test_a_model_sees_with_its_projector_alone(model: Path, tower: Path) -> None:
    assert not loaded(model)
    assert loaded(model, mmproj=str(tower))
    shutil.copy(tower, model.with_name("mmproj.gguf"))
    assert loaded(model)
    assert not loaded(model, mmproj="off")
