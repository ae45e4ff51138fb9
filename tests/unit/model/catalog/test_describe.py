"""Entries in Xinference's shape."""

from __future__ import annotations

import json
from typing import Any

import pytest

from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.describe import brief, describe, prompt, size_text
from xinfer.model.catalog.entries import entries
from xinfer.model.catalog.registration import parse_registration
from xinfer.model.catalog.schema import TYPES

find = Catalogue().find


def described(name: str) -> dict[str, Any]:
    return describe(find(name), lambda model: not model.sources)


def test_a_language_model_has_xinferences_fields() -> None:
    family = described("tiny-chat")
    assert family["version"] == 2
    assert family["model_name"] == "tiny-chat"
    assert family["model_lang"] == ["en", "zh"]
    assert {"generate", "chat"} <= set(family["model_ability"])
    assert family["context_length"] == 2048
    assert family["is_builtin"] is True
    assert family["download_hubs"] == []
    gguf, pytorch = family["model_specs"]
    assert (gguf["model_format"], pytorch["model_format"]) == ("ggufv2", "pytorch")
    assert gguf["quantization"] == "F16"
    assert gguf["cache_status"] is True
    assert gguf["model_uri"].startswith("file:///")
    assert brief(find("echo")) == {"model_name": "echo", "is_builtin": True}


def test_a_spec_stands_for_one_format_size_and_quantisation() -> None:
    family = described("qwen1.5-chat")
    specs = family["model_specs"]
    keys = [
        (one["model_format"], one["model_size_in_billions"], one["quantization"]) for one in specs
    ]
    assert len(set(keys)) == len(keys)
    assert ("ggufv2", "0_5", "q4_0") in keys
    assert ("pytorch", 7, "none") in keys
    half = specs[keys.index(("ggufv2", "0_5", "q4_0"))]
    assert half["model_hub"] == "huggingface"
    assert half["model_id"] == "Qwen/Qwen1.5-0.5B-Chat-GGUF"
    assert "{quantization}" in half["model_file_name_template"]
    assert half["cache_status"] is False
    assert family["download_hubs"] == ["huggingface", "modelscope"]


def test_a_quantisation_in_parts_tells_them() -> None:
    specs = described("qwen3")["model_specs"]
    split = [one for one in specs if one.get("quantization_parts")]
    assert split
    for one in split:
        ((quantization, parts),) = one["quantization_parts"].items()
        assert quantization == one["quantization"]
        assert parts[0] == f"00001-of-{len(parts):05d}"
        assert "{part}" in one["model_file_name_split_template"]


def test_other_types_have_their_own_fields() -> None:
    embedding = described("bge-m3")
    assert (embedding["dimensions"], embedding["max_tokens"]) == (1024, 8192)
    assert embedding["language"] == ["zh", "en"]
    assert described("bge-reranker-base")["type"] == "normal"
    whisper = described("whisper-tiny.en")
    assert (whisper["multilingual"], whisper["model_id"]) == (False, "openai/whisper-tiny.en")
    assert described("FLUX.1-dev")["model_family"] == "stable_diffusion"


@pytest.mark.parametrize("kind", TYPES)
def test_what_is_described_can_be_registered_under_another_name(kind: str) -> None:
    for entry in entries(kind):
        family = {**describe(entry, lambda model: False), "model_name": "another"}
        if not any(spec["model_id"] or spec["model_uri"] for spec in family["model_specs"]):
            continue  # echo has no files
        again = parse_registration(kind, json.dumps(family)).entry
        assert (again.context_length, again.dimensions) == (entry.context_length, entry.dimensions)
        assert again.abilities == entry.abilities
        before, after = (
            entry.models(),
            [model for variant in again.variants for model in again.models_of(variant)],
        )
        assert [one.sources[:1] for one in before] == [one.sources for one in after]


def test_a_template_of_ours_is_shown() -> None:
    assert "[INST]" in prompt(find("llama-2-chat"))["chat_template"]
    assert prompt(find("qwen3")) == {"chat_template": None, "stop": [], "stop_token_ids": []}


@pytest.mark.parametrize(
    ("size", "text"), [(7.0, 7), (0.5, "0_5"), (1.8, "1_8"), (1058.59, "1058_59"), (None, None)]
)
def test_sizes_are_as_launches_take_them(size: float | None, text: object) -> None:
    assert size_text(size) == text
