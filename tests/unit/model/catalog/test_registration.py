"""Models that users describe, in both versions of Xinference's JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from xinfer.errors import InvalidRequest
from xinfer.model.catalog.registration import Registration, check_name, parse_registration
from xinfer.types.model import ModelSpec, Source

GGUF = {
    "model_format": "ggufv2",
    "model_size_in_billions": "1_8",
    "quantizations": ["Q4_K_M", "Q8_0"],
    "model_id": "me/mine-GGUF",
    "model_hub": "modelscope",
    "model_revision": "v2",
    "model_file_name_template": "mine-{quantization}.gguf",
}


def parsed(kind: str = "LLM", **fields: Any) -> Registration:
    if kind == "LLM":
        fields = {"model_specs": [{"model_id": "me/mine"}], **fields}
    return parse_registration(kind, json.dumps({"model_name": "mine", **fields}))


def models(kind: str = "LLM", **fields: Any) -> list[ModelSpec]:
    """Without looking at files, as those on this machine would be."""
    entry = parsed(kind, **fields).entry
    return [model for variant in entry.variants for model in entry.models_of(variant)]


def refusal(kind: str = "LLM", **fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parsed(kind, **fields)
    return caught.value


def test_a_language_model_has_all_that_is_said_of_it() -> None:
    entry = parsed(
        version=2,
        context_length=32768,
        model_lang=["en", "zh"],
        model_ability=["chat", "tools"],
        model_family="qwen2.5-instruct",
        model_description="Mine.",
        chat_template="{{ messages }}",
        stop=["<|im_end|>"],
        stop_token_ids=[7],
        model_specs=[
            {
                "model_format": "pytorch",
                "model_size_in_billions": 7,
                "quantization": "none",
                "model_id": None,
                "model_hub": "huggingface",
                "model_uri": "file:///models/my%20qwen",
                "model_revision": None,
            }
        ],
    ).entry
    (model,) = entry.models_of(entry.variants[0])
    assert model == ModelSpec(
        name="mine",
        family="qwen2.5-instruct",
        format="pytorch",
        path="/models/my qwen",
        size_in_billions=7,
        context_length=32768,
        abilities=("chat", "tools"),
        languages=("en", "zh"),
        description="Mine.",
        hub="local",
        chat_template="{{ messages }}",
        stop=("<|im_end|>",),
        stop_token_ids=(7,),
    )


def test_a_repository_is_had_in_each_of_its_quantisations() -> None:
    first, second = models(model_specs=[GGUF])
    assert (first.quantization, first.size_in_billions, first.path) == ("Q4_K_M", 1.8, "")
    assert first.sources == (
        Source(hub="modelscope", repo="me/mine-GGUF", revision="v2", files=("mine-Q4_K_M.gguf",)),
    )
    assert second.sources[0].files == ("mine-Q8_0.gguf",)


def test_both_hubs_of_one_spec_are_sources_of_one_model() -> None:
    places = {
        "huggingface": {"model_id": "me/mine-{quantization}", "quantizations": ["Int4"]},
        "modelscope": {"model_id": "i/mine", "quantizations": ["Int4"], "model_revision": "v1"},
    }
    spec = {"model_format": "gptq", "model_size_in_billions": 7, "model_src": places}
    (model,) = models(model_specs=[spec])
    assert [source.repo for source in model.sources] == ["me/mine-Int4", "i/mine"]


def test_parts_of_a_split_file_are_counted() -> None:
    split = {
        **GGUF,
        "model_file_name_split_template": "{quantization}/mine-{part}.gguf",
        "quantization_parts": {"Q8_0": ["00001-of-00002", "00002-of-00002"]},
    }
    assert models(model_specs=[split])[1].sources[0].files == (
        "Q8_0/mine-00001-of-00002.gguf",
        "Q8_0/mine-00002-of-00002.gguf",
    )
    assert models(model_specs=[{**split, "model_uri": "/m"}])[1].path == (
        "/m/Q8_0/mine-00001-of-00002.gguf"
    )


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///models/a.gguf", "/models/a.gguf"),
        ("/models/a.gguf", "/models/a.gguf"),
        ("file:///models", "/models/mine-Q4_K_M.gguf"),
        ("file:///models/{quantization}", "/models/Q4_K_M/mine-Q4_K_M.gguf"),
    ],
)
def test_a_file_on_the_server_is_named_whole_or_by_its_directory(uri: str, path: str) -> None:
    assert models(model_specs=[{**GGUF, "model_uri": uri}])[0].path == path


def test_an_embedding_model_of_version_1_is_its_own_variant() -> None:
    fields = {"dimensions": 1024, "max_tokens": 512, "language": ["zh"], "model_id": "BAAI/bge"}
    (model,) = models("embedding", **fields)
    assert (model.type, model.dimensions, model.context_length) == ("embedding", 1024, 512)
    assert (model.languages, model.abilities, model.format) == (("zh",), ("embed",), "pytorch")
    assert model.sources == (Source(hub="huggingface", repo="BAAI/bge"),)


def test_a_reranker_an_image_and_an_audio_model_are_taken() -> None:
    reranker = parsed("rerank", type="normal", max_tokens=512, model_uri="file:///m").entry
    assert (reranker.kind, reranker.context_length) == ("normal", 512)
    image = parsed(
        "image",
        model_family="stable_diffusion",
        model_ability=["text2image"],
        model_uri="file:///m",
        controlnet=[],
    )
    assert (image.entry.abilities, image.ignored) == (("text2image",), ())
    assert image.entry.variants[0].format == ""
    audio = parsed("audio", model_family="whisper", multilingual=True, model_id="openai/whisper")
    assert audio.entry.multilingual is True


def test_a_template_may_be_named_by_its_family() -> None:
    assert parsed(chat_template="vicuna-v1.3").entry.template == "vicuna"
    assert parsed(model_family="vicuna-v1.3").entry.template == "vicuna"
    own = parsed(model_family="vicuna-v1.3", chat_template="{{ 1 }}").entry
    assert (own.template, own.chat_template) == ("vicuna", "{{ 1 }}")
    assert refusal(chat_template="no-such-family").param == "chat_template"


def test_how_a_model_writes_calls_and_thoughts_is_taken_where_it_is_read_here() -> None:
    [told] = models(tool_parser="llama3", reasoning_start_tag="<t>", reasoning_end_tag="</t>")
    assert (told.tool_call_parser, told.reasoning_tags) == ("llama3", ("<t>", "</t>"))
    [half] = models(reasoning_end_tag="</think>")
    assert half.reasoning_tags == ("<think>", "</think>")
    other = parsed(tool_parser="minimax")
    assert (other.entry.tool_call_parser, other.ignored) == ("", ("tool_parser",))


def test_what_has_no_effect_is_told() -> None:
    fields = {
        "version": 2,
        "is_builtin": False,
        "virtualenv": {"packages": ["x"]},
        "cache_config": None,
        "model_specs": [{"model_id": "me/mine", "draft_model_id": "me/draft"}],
    }
    assert parsed(**fields).ignored == ("virtualenv", "model_specs[0].draft_model_id")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"context_length": -1}, "context_length"),
        ({"dimensions": -1}, "dimensions"),
        ({"model_specs": []}, "model_specs"),
        ({"model_specs": None}, "model_uri"),
        ({"model_specs": [{}]}, "model_specs[0].model_uri"),
        ({"model_specs": [{"model_id": "no-owner"}]}, "model_specs[0].model_id"),
        ({"model_specs": [{"model_id": "../../etc"}]}, "model_specs[0].model_id"),
        ({"model_specs": [{"model_id": "../etc"}]}, "model_specs[0].model_id"),
        ({"model_specs": [{"model_uri": "relative"}]}, "model_specs[0].model_uri"),
        ({"model_specs": [{"model_uri": "https://x/y"}]}, "model_specs[0].model_uri"),
        ({"model_specs": [{"model_uri": "file://host/y"}]}, "model_specs[0].model_uri"),
        ({"model_specs": [{"model_uri": "/a\0b"}]}, "model_specs[0].model_uri"),
        ({"model_specs": [{"model_id": 7}]}, "model_specs[0].model_id"),
        ({"model_specs": [{"model_id": "a/b", "model_hub": "csghub"}]}, "model_specs[0].model_hub"),
        ({"model_specs": [{**GGUF, "model_format": "ggml"}]}, "model_specs[0].model_format"),
        (
            {"model_specs": [{**GGUF, "model_file_name_template": "../x.gguf"}]},
            "model_specs[0].model_file_name_template",
        ),
        (
            {"model_specs": [{**GGUF, "model_file_name_template": None}]},
            "model_specs[0].model_file_name_template",
        ),
        (
            {"model_specs": [{**GGUF, "model_size_in_billions": "big"}]},
            "model_specs[0].model_size_in_billions",
        ),
        (
            {"model_specs": [{**GGUF, "quantization_parts": {"Q8_0": ["split-a", "split-b"]}}]},
            "model_specs[0].quantization_parts",
        ),
        ({"model_ability": ["fly"]}, "model_ability"),
        ({"context_length": "long"}, "context_length"),
        ({"model_name": None}, "model_name"),
        ({"model_name": "a b"}, "model_name"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    error = refusal(**fields)
    assert error.param == param
    assert param in error.message


@pytest.mark.parametrize("text", ["", "[]", "{", '"x"', "{}", "[" * 100_000, "x" * 300_000])
def test_what_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_registration("LLM", text)
    assert caught.value.param in ("model", "model_name")


@pytest.mark.parametrize("kind", ["flexible", "video", "llm", "../LLM"])
def test_other_types_are_refused(kind: str) -> None:
    assert refusal(kind, model_id="a/b").param == "model_type"


@pytest.mark.parametrize("name", ["a", "my-model_1.5", "模型", "Qwen2.5(ft)", "x" * 100])
def test_names_that_are_taken(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", ".", "..", "../x", "/etc/passwd", "a/b", "a b", "a\tb", "a?b", "a#b", "a%2e"),
        *("a&b", "a=b", "a+b", "a:7b", "a\\b", "a\0b", "a\u202eb", "-flag", "~home", ".hidden"),
        *("m.gguf", "M.GGUF", "x" * 101),
    ],
)
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_name(name)
    assert caught.value.param == "model_name"
    assert len(caught.value.message) < 400
