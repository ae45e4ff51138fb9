"""What a model's name is, by its looks alone."""

from __future__ import annotations

import pytest

from xinfer.errors import InvalidRequest
from xinfer.model.catalog.names import (
    CatalogueName,
    ModelName,
    PathName,
    RepositoryName,
    is_path,
    parse_hub,
    parse_name,
    short_name,
    size_of_tag,
)

QWEN = "Qwen/Qwen3-0.6B-GGUF"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("qwen2.5-instruct", CatalogueName("qwen2.5-instruct")),
        ("qwen2.5-instruct:7b", CatalogueName("qwen2.5-instruct", "7b")),
        (QWEN, RepositoryName(QWEN)),
        (f"{QWEN}:Q4_K_M", RepositoryName(QWEN, tag="Q4_K_M")),
        (f"hf:{QWEN}", RepositoryName(QWEN, "huggingface")),
        (f"HF://{QWEN}:q8_0", RepositoryName(QWEN, "huggingface", tag="q8_0")),
        (f"ms:{QWEN}", RepositoryName(QWEN, "modelscope")),
        (f"modelscope:{QWEN}", RepositoryName(QWEN, "modelscope")),
        (f"hf.co/{QWEN}:Q4_K_M", RepositoryName(QWEN, "huggingface", tag="Q4_K_M")),
        (f"{QWEN}@v1.0", RepositoryName(QWEN, revision="v1.0")),
        (f"hf:{QWEN}@refs/pr/3:Q4_0", RepositoryName(QWEN, "huggingface", "refs/pr/3", "Q4_0")),
        (f"hf:{QWEN}:Q4_0@main", RepositoryName(QWEN, "huggingface", "main", "Q4_0")),
        (f"https://huggingface.co/{QWEN}/", RepositoryName(QWEN, "huggingface")),
        (
            f"https://huggingface.co/{QWEN}/tree/abc123",
            RepositoryName(QWEN, "huggingface", "abc123"),
        ),
        (
            f"https://huggingface.co/{QWEN}/blob/main/a/b.Q4_0.gguf",
            RepositoryName(QWEN, "huggingface", "main", file="a/b.Q4_0.gguf"),
        ),
        (f"https://modelscope.cn/models/{QWEN}/files", RepositoryName(QWEN, "modelscope")),
        ("hf:gpt2", RepositoryName("gpt2", "huggingface")),
        (f"hf:{QWEN}/b.gguf", RepositoryName(QWEN, "huggingface", file="b.gguf")),
        ("model.gguf", PathName("model.gguf")),
        ("a/b.gguf", PathName("a/b.gguf")),
        ("/models/qwen", PathName("/models/qwen")),
        ("./qwen", PathName("./qwen")),
        ("~/qwen", PathName("~/qwen")),
        (".", PathName(".")),
    ],
)
def test_names_are_told_apart(name: str, expected: ModelName) -> None:
    assert parse_name(name) == expected
    assert is_path(name) == isinstance(expected, PathName)


@pytest.mark.parametrize(
    "name",
    [
        "hf:",
        "a//b",
        "hf:../../etc/passwd",
        "a/../b",
        "a/b/c",
        "a/b:",
        "a/b@",
        "a/b:x:y",
        "a/b@x@y",
        "a/b:tag with spaces",
        "owner/name\0",
        "https://example.com/a/b",
        "https://huggingface.co/a/b/tree/main@other",
        "https://huggingface.co/a/b/blob/main",
        "https://huggingface.co/a/b/discussions/3",
        "x" * 10_000 + "/y",
        "пример/модель",
    ],
)
def test_what_only_looks_like_a_repository_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_name(name)
    assert raised.value.param == "model_name"
    assert len(raised.value.message) < 500


def test_a_repository_is_written_as_a_launch_takes_it() -> None:
    name = f"hf:{QWEN}/b.gguf@main"
    assert str(parse_name(name)) == name
    assert str(parse_name(f"{QWEN}:Q4_0")) == QWEN


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("qwen-chat:7b", "qwen-chat"),
        (f"hf:{QWEN}:Q4_K_M@main", "Qwen3-0.6B-GGUF"),
        (f"hf:{QWEN}/Q8/qwen3-q8_0.gguf", "qwen3-q8_0"),
        ("/models/small.gguf", "small"),
        ("/models/qwen", "qwen"),
    ],
)
def test_a_model_is_called_by_the_last_part_of_its_name(name: str, expected: str) -> None:
    assert short_name(name) == expected


@pytest.mark.parametrize(
    ("tag", "size"), [("7b", 7.0), ("0_5B", 0.5), ("1.8b", 1.8), ("Q4_0", None), ("latest", None)]
)
def test_a_tag_is_a_size_or_not(tag: str, size: float | None) -> None:
    assert size_of_tag(tag) == size


def test_hubs_have_short_names_and_a_wrong_one_is_refused() -> None:
    assert [parse_hub(name) for name in (None, "auto", "HF", "modelscope")] == [
        None, None, "huggingface", "modelscope",
    ]  # fmt: skip
    with pytest.raises(InvalidRequest, match="huggingface, modelscope") as raised:
        parse_hub("openmind_hub")
    assert raised.value.param == "download_hub"
