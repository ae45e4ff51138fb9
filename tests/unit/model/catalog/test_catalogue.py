"""Models by name."""

from __future__ import annotations

import pytest

from xinfer.errors import Conflict, NotFound
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.schema import Entry, Variant


def own(name: str, kind: str = "LLM") -> Entry:
    return Entry(name=name, type=kind, variants=(Variant(path="/models/x"),), builtin=False)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("Tiny-CHAT", "tiny-chat"),
        ("Qwen2.5-Instruct", "qwen2.5-instruct"),
        ("qwen2_5-instruct", "qwen2.5-instruct"),
        ("qwen 2.5 instruct", "qwen2.5-instruct"),
        ("llama3.1_instruct", "llama-3.1-instruct"),
        ("BGE-M3", "bge-m3"),
        ("bge_reranker_v2_m3", "bge-reranker-v2-m3"),
        ("Whisper-Large-V3", "whisper-large-v3"),
        ("flux.1-schnell", "FLUX.1-schnell"),
    ],
)
def test_finds_in_any_case_and_with_other_separators(spelling: str, name: str) -> None:
    assert Catalogue().find(spelling).name == name


def test_unknown_name_offers_near_ones_and_says_what_is_expected() -> None:
    with pytest.raises(NotFound) as raised:
        Catalogue([own("qwen-mine")]).find("qwen-mien")
    assert raised.value.code == "model_not_found"
    assert raised.value.param == "model_name"
    assert "Did you mean qwen-mine" in raised.value.message
    assert "path of a .gguf file" in raised.value.message


def test_name_of_a_repository_is_told_what_it_is() -> None:
    with pytest.raises(NotFound, match=r"It is Qwen/Qwen2\.5-7B-Instruct on huggingface") as raised:
        Catalogue().find("qwen2.5-7b-instruct")
    assert "the catalogue has it as qwen2.5-instruct" in raised.value.message


def test_name_like_no_other_is_told_where_to_look() -> None:
    with pytest.raises(NotFound, match="xinference registrations"):
        Catalogue().find("zzzzzzzz")


def test_huge_name_does_not_come_back_whole() -> None:
    with pytest.raises(NotFound) as raised:
        Catalogue().find("x" * 1_000_000)
    assert len(raised.value.message) < 1000


def test_lists_one_type_by_name_with_the_registered_ones_among_them() -> None:
    catalogue = Catalogue([own("Mine"), own("other", "rerank")])
    names = [entry.name for entry in catalogue.list("LLM")]
    assert names == sorted(names, key=str.lower)
    assert {"Mine", "tiny-chat", "echo", "qwen3"} <= set(names)
    assert "other" not in names
    assert "other" in [entry.name for entry in catalogue.list("rerank")]


def test_names_are_taken_once() -> None:
    catalogue = Catalogue()
    catalogue.add(own("mine"))
    with pytest.raises(Conflict, match="registered already"):
        catalogue.add(own("MINE", "image"))
    with pytest.raises(Conflict, match="comes with xinfer"):
        catalogue.add(own("Qwen3"))


def test_a_registered_model_can_take_the_place_of_a_built_in_one_on_demand() -> None:
    catalogue = Catalogue()
    catalogue.add(own("Qwen3"), before_builtin=True)
    assert not catalogue.find("qwen3").builtin
    catalogue.remove(catalogue.registered("LLM", "QWEN3"))
    assert catalogue.find("qwen3").builtin


def test_only_registered_models_of_the_type_are_removed() -> None:
    catalogue = Catalogue([own("mine")])
    with pytest.raises(NotFound, match="of type rerank is registered"):
        catalogue.registered("rerank", "mine")
    with pytest.raises(Conflict, match="stays"):
        catalogue.registered("LLM", "echo")
    catalogue.remove(catalogue.registered("LLM", "Mine"))
    with pytest.raises(NotFound):
        catalogue.find("mine")
