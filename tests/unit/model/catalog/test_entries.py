"""The built-in models: that their data are whole, and that they become models to load."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import msgspec
import pytest

from xinfer.model.catalog.catalogue import Catalogue, find_builtin
from xinfer.model.catalog.entries import entries, on_this_machine, read_entries
from xinfer.model.catalog.registration import ABILITIES
from xinfer.model.catalog.schema import GGUF, TYPES, Entry, Repository, Variant, template_source
from xinfer.model.engine import BUILTIN, find_engine
from xinfer.model.inspect.model import inspect_path
from xinfer.model.llm.pipeline.template import ChatTemplate

ALL = [entry for kind in TYPES for entry in entries(kind)]
FORMATS = {
    "LLM": {"pytorch", "ggufv2", "gptq", "awq", "fp8", "fp4", "bnb", ""},
    "embedding": {"pytorch", "ggufv2"},
    "rerank": {"pytorch", "ggufv2"},
    "image": {"", "diffusers"},
    "audio": {"", "pytorch", "ctranslate2", "onnx"},
}
REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)

every_entry = pytest.mark.parametrize("entry", ALL, ids=lambda entry: f"{entry.type}-{entry.name}")


@every_entry
def test_every_entry_becomes_models_that_can_be_had(entry: Entry) -> None:
    models = entry.models()
    assert models
    assert set(entry.abilities) <= set(ABILITIES[entry.type])
    assert entry.abilities
    assert entry.languages
    for model in models:
        assert model.format in FORMATS[entry.type]
        assert (model.name, model.type) == (entry.name, entry.type)
        assert "{" not in model.quantization
        if entry in read_entries("shipped"):
            assert not model.sources
            continue
        assert model.sources
        assert (model.hub, model.model_id) == (model.sources[0].hub, model.sources[0].repo)
        assert [source.hub for source in model.sources] in (
            ["huggingface", "modelscope"],
            ["huggingface"],
            ["modelscope"],
        )
        for source in model.sources:
            assert REPO.fullmatch(source.repo), source.repo
            assert bool(source.files) == (model.format in (GGUF, "onnx"))
            for name in source.files:
                assert "{" not in name
                assert name.endswith((".gguf", ".onnx", ".onnx.json"))
                assert ".." not in PurePosixPath(name).parts


@every_entry
def test_no_two_models_of_an_entry_are_the_same(entry: Entry) -> None:
    forms = [(one.format, one.size_in_billions, one.quantization) for one in entry.models()]
    assert len(forms) == len(set(forms))
    sources = [source for one in entry.models() for source in one.sources]
    assert len(sources) == len(set(map(repr, sources)))


@every_entry
def test_every_entry_has_what_its_type_needs(entry: Entry) -> None:
    if entry.type == "LLM":
        assert entry.context_length > 0
        assert all(variant.size for variant in entry.variants if variant.format)
    if entry.type in ("embedding", "rerank"):
        assert entry.context_length > 0
        assert entry.type == "rerank" or entry.dimensions > 0
    if entry.type == "audio":
        assert entry.multilingual is not None
    if entry.template:
        ChatTemplate(template_source(entry.template), {}, max_length=1000)


def test_names_are_unique_however_they_are_spelt_and_in_order() -> None:
    for kind in TYPES:
        names = [entry.name.lower() for entry in entries(kind)]
        assert names == sorted(set(names))
    assert all(find_builtin(entry.name) == entry for entry in ALL)


@every_entry
def test_every_engine_runs_every_model_or_says_why_not(entry: Entry) -> None:
    engines = [find_engine(name)[1] for name in BUILTIN]
    for model in entry.models():
        answers = [engine.support(model) for engine in engines]
        assert all(answer.ok or answer.reason for answer in answers)
        if not model.sources:
            assert any(answer.ok for answer in answers) or model.format == "pytorch"


def test_a_split_file_is_all_its_parts_the_first_one_first() -> None:
    split = Variant(
        format=GGUF,
        hf=Repository(repo="a/b-{quantization}"),
        quantizations=("Q4", "Q8"),
        file="b.{quantization}.gguf",
        split_file="{quantization}/b-{part}.gguf",
        parts={"Q8": 2},
        projectors=("mmproj-BF16.gguf", "mmproj-F16.gguf"),
    )
    sources = split.sources()
    assert sources["Q4"][0].repo == "a/b-Q4"
    assert sources["Q4"][0].files == ("b.Q4.gguf", "mmproj-F16.gguf")
    assert sources["Q8"][0].files == (
        "Q8/b-00001-of-00002.gguf",
        "Q8/b-00002-of-00002.gguf",
        "mmproj-F16.gguf",
    )


def test_a_quantisation_that_one_hub_lacks_is_had_from_the_other() -> None:
    variant = Variant(
        format="gptq",
        hf=Repository(repo="a/b", quantizations=("Int4",)),
        ms=Repository(repo="c/b", quantizations=("Int4", "Int8"), revision="v1"),
    )
    sources = variant.sources()
    assert [source.repo for source in sources["Int4"]] == ["a/b", "c/b"]
    assert [(source.repo, source.revision) for source in sources["Int8"]] == [("c/b", "v1")]


def test_what_a_hub_says_itself_counts_also_when_it_is_nothing() -> None:
    variant = Variant(
        format="pytorch",
        quantizations=("int4",),
        hf="a/b-int4",
        ms=Repository(repo="a/b", quantizations=()),
    )
    assert {name: one[0].repo for name, one in variant.sources().items()} == {
        "int4": "a/b-int4",
        "none": "a/b",
    }


def test_files_of_the_catalogue_are_where_the_package_is_on_this_machine() -> None:
    for model in (model for entry in read_entries("shipped") for model in entry.models()):
        path = model.path and "/installed/elsewhere/" + model.path
        assert on_this_machine(msgspec.structs.replace(model, path=path)) == model


def test_files_of_a_users_own_stay_where_they_are_said_to_be() -> None:
    (model, *_) = Catalogue().find("tiny-chat").models()
    own = msgspec.structs.replace(model, hub="local", path="/data/m.gguf")
    assert on_this_machine(own) == own


def test_tiny_chat_is_what_its_file_says() -> None:
    for model in Catalogue().find("tiny-chat").models():
        if model.format != "ggufv2":
            continue
        file = inspect_path(model.path)
        assert model.quantization == file.quantization
        assert model.context_length == file.context_length
        assert set(model.abilities) <= set(file.abilities)
        assert model.size_bytes == file.size_bytes
        assert model.size_in_billions == pytest.approx(file.size_in_billions, rel=0.05)


def test_only_the_type_that_is_asked_for_is_read_and_by_replicas_none() -> None:
    read_entries.cache_clear()
    (tiny, *_) = [entry for entry in read_entries("shipped") if entry.name == "tiny-chat"]
    on_this_machine(tiny.models()[0])
    assert read_entries.cache_info().currsize == 1
    entries("embedding")
    assert read_entries.cache_info().currsize == 2


def test_all_shipped_weights_are_there() -> None:
    paths = [model.path for entry in read_entries("shipped") for model in entry.models()]
    assert any(paths)
    for entry in read_entries("shipped"):
        for variant in entry.variants:
            assert variant.local_path is None or variant.local_path.exists()
