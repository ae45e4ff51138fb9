"""Of a repository, what an engine needs and no more."""

from __future__ import annotations

import pytest

from xinfer.errors import InvalidRequest, NotFound
from xinfer.model.files import ModelFile
from xinfer.model.hub.needed import needed_files, whole_sets


def needed(names: str, format: str = "pytorch", files: tuple[str, ...] = ()) -> set[str]:
    return set(needed_files([ModelFile(name, 1) for name in names.split()], format, files))


def parts(stem: str, count: int, suffix: str = ".safetensors") -> str:
    return " ".join(f"{stem}-{n:05}-of-{count:05}{suffix}" for n in range(1, count + 1))


BASE = "config.json generation_config.json tokenizer.json tokenizer_config.json merges.txt"


@pytest.mark.parametrize(
    "extra",
    [
        "pytorch_model.bin",
        "flax_model.msgpack tf_model.h5 rust_model.ot",
        "onnx/model.onnx onnx/config.json openvino/openvino_model.bin",
        "original/consolidated.00.pth original/params.json original/tokenizer.model",
        "consolidated.safetensors",
        "model.fp16.safetensors",
        "README.md .gitattributes images/a.png training_args.bin",
        "model-Q4_K_M.gguf",
    ],
)
def test_the_same_weights_in_another_form_are_left_out(extra: str) -> None:
    want = f"{BASE} model.safetensors LICENSE chat_template.jinja"
    assert needed(f"{want} {extra}") == set(want.split())


def test_pickles_are_taken_only_where_there_is_nothing_else() -> None:
    want = f"{BASE} {parts('pytorch_model', 2, '.bin')}"
    assert needed(f"{want} optimizer.bin training_args.bin") == set(want.split())


def test_a_model_of_several_directories_is_whole() -> None:
    want = (
        "modules.json 1_Pooling/config.json 2_Dense/model.safetensors model.safetensors config.json"
    )
    assert needed(f"{want} 2_Dense/pytorch_model.bin") == set(want.split())


def test_all_parts_of_the_weights_are_needed() -> None:
    names = parts("model", 3)
    assert needed(f"{BASE} {names}") == {*BASE.split(), *names.split()}
    with pytest.raises(NotFound, match=r"model-00002-of-00003\.safetensors, a part"):
        needed(f"{BASE} {names}".replace("model-00002-of-00003.safetensors", ""))


def test_a_repository_without_weights_is_no_model() -> None:
    with pytest.raises(NotFound, match="no weights"):
        needed(BASE)


def test_exactly_the_given_files_are_had_with_all_their_parts() -> None:
    split = parts("big-Q8_0", 2, ".gguf")
    names = f"a-Q4_0.gguf a-Q8_0.gguf mmproj-a.gguf config.json {split}"
    assert needed(names, "ggufv2", ("a-Q4_0.gguf",)) == {"a-Q4_0.gguf"}
    assert needed(names, "ggufv2", ("a-Q4_0.gguf", "mmproj-a.gguf")) == {
        "a-Q4_0.gguf",
        "mmproj-a.gguf",
    }
    assert needed(names, "ggufv2", ("big-Q8_0-00001-of-00002.gguf",)) == set(split.split())


def test_a_given_file_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(NotFound, match=r"no file a-Q5_0\.gguf\. There are: a-Q4_0\.gguf"):
        needed("a-Q4_0.gguf", "ggufv2", ("a-Q5_0.gguf",))
    with pytest.raises(NotFound, match=r"big-00002-of-00002\.gguf"):
        needed("big-00001-of-00002.gguf", "ggufv2", ("big-00001-of-00002.gguf",))


def test_the_only_gguf_needs_no_choice_and_several_do() -> None:
    assert needed("a-Q4_0.gguf mmproj-a.gguf README.md", "ggufv2") == {"a-Q4_0.gguf"}
    with pytest.raises(InvalidRequest, match=r"several \.gguf files: a-Q4_0\.gguf, a-Q8_0\.gguf"):
        needed("a-Q4_0.gguf a-Q8_0.gguf", "ggufv2")
    with pytest.raises(NotFound, match=r"no whole \.gguf"):
        needed("a-00001-of-00002.gguf", "ggufv2")


def test_parts_belong_together_only_where_all_are_there() -> None:
    names = [*parts("a", 2, ".gguf").split(), "b.gguf", "c-00001-of-00002.gguf"]
    assert whole_sets(names) == {
        "a-00001-of-00002.gguf": ("a-00001-of-00002.gguf", "a-00002-of-00002.gguf"),
        "b.gguf": ("b.gguf",),
    }
