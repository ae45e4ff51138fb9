"""What directories and repositories hold, what is read of them, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.gguf_additions import vision_tower
from tests.support.gguf_models import random_llama
from tests.support.model_dirs import (
    RemoteFiles,
    decoder_tensors,
    write_json,
    write_model,
    write_safetensors,
)
from xinfer.errors import InvalidRequest
from xinfer.model.files import LocalFiles
from xinfer.model.inspect.files import inspect_files
from xinfer.model.inspect.model import inspect_path
from xinfer.model.inspect.weights import refuse_pickles
from xinfer.types.model import ModelSpec

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "max_position_embeddings": 512,
}


def inspect(directory: Path, **options: Any) -> list[ModelSpec]:
    return inspect_files(LocalFiles(directory), name="some-model", **options)


def refusal(directory: Path, **options: Any) -> str:
    with pytest.raises(InvalidRequest) as raised:
        inspect(directory, **options)
    return raised.value.message


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llama(tmp_path_factory.mktemp("gguf") / "m.gguf")


@pytest.fixture
def repository(gguf_file: Path, tmp_path: Path) -> Path:
    """With two quantisations of one model, an importance matrix and a picture."""
    for name in ("Some-7B-Q8_0.gguf", "Some-7B.Q4_K_M.gguf", "Some-7B-imatrix.gguf"):
        shutil.copy(gguf_file, tmp_path / name)
    with open(tmp_path / "Some-7B-Q8_0.gguf", "ab") as file:
        file.write(bytes(1000))
    (tmp_path / "plot.png").write_bytes(b"x")
    return tmp_path


def test_each_quantisation_is_a_model_the_smallest_first(repository: Path) -> None:
    small, large = inspect(repository)
    assert (small.quantization, small.files) == ("Q4_K_M", ("Some-7B.Q4_K_M.gguf",))
    assert (large.quantization, large.files) == ("Q8_0", ("Some-7B-Q8_0.gguf",))
    assert large.size_bytes == small.size_bytes + 1000
    for model in (small, large):
        assert (model.name, model.format, model.path) == ("some-model", "ggufv2", "")
        assert model.shape is not None
        assert model.shape.layers == 2


def test_one_header_is_read_of_a_repository_of_many_quantisations(repository: Path) -> None:
    files = RemoteFiles(repository)
    assert len(inspect_files(files, name="m")) == 2
    assert set(files.read_bytes) == {"Some-7B.Q4_K_M.gguf"}
    assert files.reads == 1


@pytest.mark.parametrize(
    ("name", "quantization"),
    [
        ("Qwen3-0.6B-Q8_0.gguf", "Q8_0"),
        ("llama-2-7b.Q4_K_M.gguf", "Q4_K_M"),
        ("UD-Q4_K_XL/DeepSeek-R1-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("qwen2.5-7b-instruct-fp16.gguf", "F16"),
        ("model-IQ3_XXS.gguf", "IQ3_XXS"),
        ("gpt-oss-20b-MXFP4.gguf", "MXFP4"),
        ("m-q5_k_s.gguf", "Q5_K_S"),
    ],
)
def test_quantisations_are_told_by_the_names_of_files(
    gguf_file: Path, tmp_path: Path, name: str, quantization: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    shutil.copy(gguf_file, tmp_path / name)
    (model,) = inspect(tmp_path)
    assert model.quantization == quantization


def test_a_file_whose_name_tells_no_quantisation_tells_it_itself(
    gguf_file: Path, tmp_path: Path
) -> None:
    shutil.copy(gguf_file, tmp_path / "model.gguf")
    assert inspect(tmp_path)[0].quantization == "F32"


def test_parts_of_a_model_are_one(gguf_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Q4_0"
    folder.mkdir()
    names = [f"Q4_0/big-Q4_0-{number:05}-of-00002.gguf" for number in (1, 2)]
    for name in names:
        shutil.copy(gguf_file, tmp_path / name)
    (model,) = inspect(tmp_path)
    assert model.files == tuple(names)
    assert model.size_bytes == 2 * gguf_file.stat().st_size
    (tmp_path / names[1]).unlink()
    assert "missing beside it: Q4_0/big-Q4_0-00002-of-00002.gguf" in refusal(tmp_path)


def test_a_quantisation_without_all_of_its_parts_leaves_the_others(
    gguf_file: Path, tmp_path: Path
) -> None:
    shutil.copy(gguf_file, tmp_path / "big-Q4_0.gguf")
    shutil.copy(gguf_file, tmp_path / "big-Q8_0-00001-of-00002.gguf")
    (tmp_path / "big-Q6_K.gguf-split-a").write_bytes(b"GGUF")
    assert [model.quantization for model in inspect(tmp_path)] == ["Q4_0"]


def test_a_file_that_was_cut_without_regard_to_its_format_is_refused_with_what_to_do(
    tmp_path: Path,
) -> None:
    for letter in "ab":
        (tmp_path / f"big.Q6_K.gguf-split-{letter}").write_bytes(b"GGUF")
    assert "`cat big.Q6_K.gguf-split-* > big.Q6_K.gguf`" in refusal(tmp_path)
    with pytest.raises(InvalidRequest, match="a piece that was cut off"):
        inspect_path(str(tmp_path / "big.Q6_K.gguf-split-a"))


def test_a_projector_gives_sight_and_comes_along(gguf_file: Path, tmp_path: Path) -> None:
    shutil.copy(gguf_file, tmp_path / "m-Q4_0.gguf")
    vision_tower(tmp_path / "mmproj-m-F32.gguf", 64)
    vision_tower(tmp_path / "mmproj-m-F16.gguf", 64)
    (model,) = inspect(tmp_path)
    assert model.projector == "mmproj-m-F16.gguf"
    assert model.files == ("m-Q4_0.gguf", "mmproj-m-F16.gguf")
    assert model.abilities == ("generate", "chat", "vision")
    projector = (tmp_path / "mmproj-m-F16.gguf").stat().st_size
    assert model.size_bytes == gguf_file.stat().st_size + projector
    assert model.shape is not None
    assert model.shape.vision_bytes == projector


def test_more_different_models_than_are_told_apart_are_refused(
    gguf_file: Path, tmp_path: Path
) -> None:
    for letter in range(20):
        (tmp_path / f"model{letter}.gguf").symlink_to(gguf_file)
    assert "20 different models" in refusal(tmp_path)


def test_one_model_in_two_formats_is_two_variants(gguf_file: Path, tmp_path: Path) -> None:
    write_model(tmp_path, CONFIG)
    shutil.copy(gguf_file, tmp_path / "m-Q8_0.gguf")
    assert [model.format for model in inspect(tmp_path)] == ["pytorch", "ggufv2"]
    (tmp_path / "model.safetensors").unlink()
    assert [model.format for model in inspect(tmp_path)] == ["ggufv2"]


def test_what_is_needed_of_a_repository_and_no_copies_of_it(tmp_path: Path) -> None:
    write_model(tmp_path, CONFIG, tokenizer={}, generation_config={})
    for name in (
        *("pytorch_model.bin", "model.onnx", "onnx/model.onnx", "onnx/config.json", "demo.png"),
        *("original/consolidated.00.pth", "original/params.json", "flax_model.msgpack", "m.h5"),
        *("consolidated.safetensors", "pytorch_model.bin.index.json", "modeling_own.py"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (model,) = inspect(tmp_path)
    assert model.files[0] == "model.safetensors"
    assert set(model.files) == {
        *("model.safetensors", "config.json", "generation_config.json", "tokenizer.json"),
        "modeling_own.py",
    }


def shards(directory: Path, count: int) -> None:
    names = [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]
    table = {}
    for number, name in enumerate(names):
        tensor = f"model.layers.{number}.mlp.up_proj.weight"
        write_safetensors(directory / name, {tensor: ("BF16", [1000, 100])})
        table[tensor] = name
    write_json(directory / "model.safetensors.index.json", {"weight_map": table})


def test_weights_in_several_files_are_all_read(tmp_path: Path) -> None:
    shards(tmp_path, 3)
    write_json(tmp_path / "config.json", CONFIG)
    (model,) = inspect(tmp_path)
    assert model.size_in_billions == pytest.approx(0.0003)
    assert len([name for name in model.files if name.endswith(".safetensors")]) == 3
    assert "model.safetensors.index.json" in model.files
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    assert "model-00002-of-00003.safetensors are not there" in refusal(tmp_path)


def test_weights_in_several_files_are_counted_where_no_index_names_them(tmp_path: Path) -> None:
    shards(tmp_path, 3)
    write_json(tmp_path / "config.json", CONFIG)
    (tmp_path / "model.safetensors.index.json").unlink()
    assert len([name for name in inspect(tmp_path)[0].files if "-of-" in name]) == 3
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    assert "has 2 of the 3 files model-…-of-00003.safetensors" in refusal(tmp_path)


def test_of_a_repository_with_many_files_few_are_read(tmp_path: Path) -> None:
    shards(tmp_path, 40)
    write_json(tmp_path / "config.json", CONFIG)
    files = RemoteFiles(tmp_path)
    (model,) = inspect_files(files, name="m")
    assert model.size_in_billions == pytest.approx(0.004, rel=0.01)
    assert sum(name.endswith(".safetensors") for name in files.read_bytes) == 1
    assert sum(files.read_bytes.values()) < 100_000


def test_of_weights_no_more_than_the_header_is_read(tmp_path: Path) -> None:
    tensors = decoder_tensors(32, 4096, key=1024, vocab=128256, inner=14336)
    write_model(tmp_path, CONFIG, tensors)
    files = RemoteFiles(tmp_path)
    assert inspect_files(files, name="m")[0].size_in_billions == 8.03
    assert files.read_bytes["model.safetensors"] <= 1 << 16


def test_files_that_an_index_names_are_looked_for_in_the_listing_alone(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    write_model(inside, CONFIG)
    (inside / "model.safetensors").rename(tmp_path / "outside.safetensors")
    table = {"weight_map": {"a": "../outside.safetensors"}}
    write_json(inside / "model.safetensors.index.json", table)
    assert "../outside.safetensors are not there" in refusal(inside)


# Refusals: what was found, and what would do.


def test_an_empty_directory(tmp_path: Path) -> None:
    assert refusal(tmp_path) == (
        f"{tmp_path} is empty. Expected a .gguf file, or config.json with weights in "
        ".safetensors files."
    )


def test_other_things_in_a_directory(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    assert "holds no model but notes.txt. Expected a .gguf file" in refusal(tmp_path)


def test_a_configuration_without_weights(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", CONFIG)
    assert "holds config.json and no weights" in refusal(tmp_path)


def test_an_adapter_alone(tmp_path: Path) -> None:
    write_json(tmp_path / "adapter_config.json", {"base_model_name_or_path": "x"})
    write_safetensors(tmp_path / "adapter_model.safetensors", {"a": ("F32", [2])})
    assert "holds a LoRA adapter and no model" in refusal(tmp_path)
    assert "peft_model_config" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_pickled_weights_are_described_and_refused_by_name(tmp_path: Path, name: str) -> None:
    write_json(tmp_path / "config.json", CONFIG)
    (tmp_path / name).write_bytes(bytes(500))
    (model,) = inspect(tmp_path)
    assert (model.files[0], model.size_bytes) == (name, 500)
    assert model.shape is not None
    with pytest.raises(InvalidRequest) as raised:
        refuse_pickles(model)
    assert f"weights as {name} only" in raised.value.message
    assert "XINFERENCE_ALLOW_PICKLE=1" in raised.value.message


def test_safetensors_are_taken_before_pickles(tmp_path: Path) -> None:
    write_model(tmp_path, CONFIG)
    (tmp_path / "pytorch_model.bin").write_bytes(bytes(500))
    (model,) = inspect(tmp_path)
    assert "pytorch_model.bin" not in model.files
    refuse_pickles(model)


def test_a_step_behind_an_encoder_that_is_pickled_counts_too(tmp_path: Path) -> None:
    write_model(tmp_path, CONFIG)
    steps = [("Transformer", ""), ("Dense", "1_Dense")]
    modules = [
        {"path": path, "type": f"sentence_transformers.models.{kind}"} for kind, path in steps
    ]
    write_json(tmp_path / "modules.json", modules)
    (tmp_path / "1_Dense").mkdir()
    write_json(tmp_path / "1_Dense" / "config.json", {"in_features": 8, "out_features": 4})
    (tmp_path / "1_Dense" / "pytorch_model.bin").write_bytes(bytes(500))
    (model,) = inspect(tmp_path)
    with pytest.raises(InvalidRequest, match=r"1_Dense/pytorch_model\.bin"):
        refuse_pickles(model)


def test_whisper_for_ctranslate2_is_no_pickle(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {})
    (tmp_path / "vocabulary.txt").write_text("a")
    (tmp_path / "model.bin").write_bytes(bytes(500))
    (model,) = inspect(tmp_path)
    assert model.format == "ctranslate2"
    refuse_pickles(model)


def test_damaged_json_with_the_place_of_the_damage(tmp_path: Path) -> None:
    write_model(tmp_path, CONFIG)
    (tmp_path / "config.json").write_text('{"architectures": [}')
    assert "config.json cannot be used: it is damaged JSON" in refusal(tmp_path)
    assert "line 1, column 20" in refusal(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    assert "holds no JSON object" in refusal(tmp_path)
    (tmp_path / "config.json").write_text("[" * 100_000)
    assert "nested too deep" in refusal(tmp_path)
    (tmp_path / "config.json").write_bytes(b'{"a": "\xff"}')
    assert "not UTF-8" in refusal(tmp_path)
    (tmp_path / "config.json").write_text(f'{{"a": {"1" * 10_000}}}')
    assert "config.json cannot be used" in refusal(tmp_path)


def test_a_file_that_ends_too_early_with_both_sizes(tmp_path: Path) -> None:
    write_model(tmp_path, CONFIG, {"w": ("F32", [1000])})
    path = tmp_path / "model.safetensors"
    whole = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(whole - 10)
    message = refusal(tmp_path)
    assert f"it is incomplete: it has {whole - 10} bytes; expected {whole}" in message
    assert str(tmp_path) in message
    assert "model.safetensors" in message


def test_a_gguf_file_that_ends_too_early(gguf_file: Path, tmp_path: Path) -> None:
    whole = gguf_file.read_bytes()
    (tmp_path / "m.gguf").write_bytes(whole[:-100])
    assert "it is incomplete" in refusal(tmp_path)
    assert f"{len(whole) - 100}" in refusal(tmp_path)


def test_a_model_for_what_is_not_served(tmp_path: Path) -> None:
    write_model(tmp_path, {"architectures": ["ViTForImageClassification"]})
    assert "is a ViTForImageClassification" in refusal(tmp_path)


def test_a_configuration_that_names_no_architecture(tmp_path: Path) -> None:
    write_model(tmp_path, {"model_type": "x"})
    assert "names no architectures" in refusal(tmp_path)


def test_weights_without_a_configuration(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", {"w": ("F32", [1])})
    assert "there is no config.json" in refusal(tmp_path)


def test_several_models_in_one_directory(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", CONFIG)
    for name in ("one", "two"):
        write_safetensors(tmp_path / f"{name}.safetensors", {"w": ("F32", [1])})
    assert "several models: one, two" in refusal(tmp_path)


def test_absurd_numbers_are_unknown_ones(tmp_path: Path) -> None:
    absurd = {
        **CONFIG,
        "num_hidden_layers": 10**30,
        "hidden_size": -5,
        "max_position_embeddings": True,
        "num_key_value_heads": "8",
    }
    write_model(tmp_path, absurd)
    (model,) = inspect(tmp_path)
    assert (model.shape, model.context_length) == (None, 0)


def test_numbers_that_json_does_not_have_are_read_as_python_writes_them(tmp_path: Path) -> None:
    write_model(tmp_path, CONFIG)
    text = json.dumps({**CONFIG, "a": float("inf"), "b": float("nan")})
    (tmp_path / "config.json").write_text(text)
    assert inspect(tmp_path)[0].context_length == 512
