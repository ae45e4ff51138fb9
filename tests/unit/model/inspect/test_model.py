"""From paths to model descriptions."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import gguf
import pytest

from tests.support.gguf_models import random_llama
from tests.support.model_dirs import write_model
from xinfer.errors import InvalidRequest, NotFound
from xinfer.model import files
from xinfer.model.inspect.model import inspect_path, inspect_variants


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llama(tmp_path_factory.mktemp("models") / "source.gguf")


@pytest.fixture
def model(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(source, tmp_path / "Small-Chat.gguf"))


def write_header(path: Path, architecture: str, **values: int | str) -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in values.items():
        name = key.replace("__", ".")
        if isinstance(value, int):
            writer.add_uint16(name, value)
        else:
            writer.add_string(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_describes_a_file(model: Path) -> None:
    spec = inspect_path(str(model))
    assert spec.name == "Small-Chat"
    assert (spec.type, spec.format, spec.family, spec.hub) == ("LLM", "ggufv2", "llama", "local")
    assert spec.path == str(model.resolve())
    assert spec.quantization == "F32"
    assert spec.context_length == 2048
    assert spec.abilities == ("generate", "chat")
    assert spec.size_bytes == model.stat().st_size
    assert spec.size_in_billions == pytest.approx(0.000118, rel=0.1)


def test_model_without_a_chat_template_cannot_chat(tmp_path: Path) -> None:
    path = random_llama(tmp_path / "base.gguf", template=None)
    assert inspect_path(str(path)).abilities == ("generate",)


def test_directory_with_one_file_is_that_file(model: Path) -> None:
    (model.parent / "README.md").write_text("words")
    assert inspect_path(str(model.parent)).path == str(model.resolve())


def test_directory_with_several_files_asks_which(model: Path) -> None:
    shutil.copy(model, model.parent / "other.gguf")
    with pytest.raises(InvalidRequest, match=r"several models: Small-Chat\.gguf, other\.gguf"):
        inspect_path(str(model.parent))


def test_empty_directory_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"is empty\. Expected a \.gguf file"):
        inspect_path(str(tmp_path))


def test_a_directory_of_everything_is_refused_before_all_of_it_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_FILES", 10)
    for number in range(11):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(InvalidRequest, match="more than 10 files") as raised:
        inspect_path(str(tmp_path))
    assert raised.value.param == "model_path"


def test_a_directory_of_safetensors_is_one_model_under_its_own_name(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "Some-Model", {"architectures": ["LlamaForCausalLM"]})
    spec = inspect_path(str(directory))
    assert (spec.name, spec.format, spec.hub) == ("Some-Model", "pytorch", "local")
    assert spec.path == str(directory.resolve())


def test_a_directory_with_a_model_in_two_formats_asks_which(model: Path) -> None:
    write_model(model.parent, {"architectures": ["LlamaForCausalLM"]})
    with pytest.raises(InvalidRequest, match="several models"):
        inspect_path(str(model.parent))
    both = inspect_variants(str(model.parent))
    assert [spec.format for spec in both] == ["pytorch", "ggufv2"]
    assert both[1].path == str(model.resolve())


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.gguf")
    with pytest.raises(InvalidRequest, match="is not a model"):
        inspect_path(str(tmp_path / "model.gguf"))
    with pytest.raises(InvalidRequest, match="is empty"):
        inspect_path(str(tmp_path))


def test_other_files_are_not_models(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("words")
    with pytest.raises(InvalidRequest, match=r"notes\.txt is not a model"):
        inspect_path(str(path))


def test_links_are_resolved(model: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.gguf"
    link.symlink_to(model)
    assert inspect_path(str(link)).path == str(model.resolve())


def test_loop_of_links_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "loop.gguf"
    link.symlink_to(link)
    with pytest.raises(InvalidRequest, match=r"loop\.gguf"):
        inspect_path(str(link))


@pytest.mark.parametrize("path", ["/tmp/a\0b.gguf", "/" + "x" * 10_000, "~no-such-user-9/a.gguf"])
def test_impossible_paths_are_invalid_requests_that_name_the_field(path: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        inspect_path(path, param="model_name")
    assert raised.value.param == "model_name"


@pytest.mark.parametrize("path", ["..", ".", "", "models", "./model.gguf"])
def test_relative_path_is_refused_whatever_lies_in_the_working_directory(
    model: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model.parent / "models").mkdir()
    monkeypatch.chdir(model.parent / "models")
    with pytest.raises(InvalidRequest, match="relative") as refused:
        inspect_path(path, param="model_name")
    assert refused.value.param == "model_name"


def test_absent_path_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as raised:
        inspect_path(str(tmp_path / "absent.gguf"))
    assert raised.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("pooling", "kind"), [(gguf.PoolingType.MEAN, "embedding"), (gguf.PoolingType.RANK, "rerank")]
)
def test_type_follows_from_pooling(tmp_path: Path, pooling: int, kind: str) -> None:
    path = write_header(tmp_path / "bert.gguf", "bert", bert__pooling_type=int(pooling))
    spec = inspect_path(str(path))
    assert spec.type == kind
    assert spec.abilities == ()


@pytest.mark.parametrize(
    ("architecture", "kind"), [("llama", "adapter"), ("clip", "mmproj"), ("clip", "model")]
)
def test_adapters_and_projectors_are_not_models(
    tmp_path: Path, architecture: str, kind: str
) -> None:
    path = write_header(tmp_path / "part.gguf", architecture, general__type=kind)
    with pytest.raises(InvalidRequest, match="an addition to a model"):
        inspect_path(str(path))


def split_model(directory: Path, *, missing: int | None = None) -> Path:
    first = directory / "big-00001-of-00003.gguf"
    for number in range(1, 4):
        if number != missing:
            write_header(
                directory / f"big-{number:05}-of-00003.gguf",
                "llama",
                split__count=3,
                split__no=number - 1,
            )
    return first


def test_parts_are_one_model_under_the_first_ones_path(tmp_path: Path) -> None:
    first = split_model(tmp_path)
    spec = inspect_path(str(tmp_path))
    assert (spec.name, spec.path) == ("big", str(first.resolve()))
    assert spec.size_bytes == sum(part.stat().st_size for part in tmp_path.iterdir())


def test_missing_part_is_named(tmp_path: Path) -> None:
    first = split_model(tmp_path, missing=2)
    with pytest.raises(InvalidRequest, match=r"missing beside it: big-00002-of-00003\.gguf"):
        inspect_path(str(first))


def test_later_part_points_to_the_first(tmp_path: Path) -> None:
    split_model(tmp_path)
    with pytest.raises(InvalidRequest, match=r"path of the first, …-00001-of-00003\.gguf"):
        inspect_path(str(tmp_path / "big-00002-of-00003.gguf"))
