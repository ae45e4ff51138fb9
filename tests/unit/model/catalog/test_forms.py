"""Where a launch's model is looked for, and what is said when it is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.gguf_models import random_llama
from tests.unit.model.catalog.fakes import FakeHubs, gguf
from xinfer.errors import InvalidRequest, NotFound, Unavailable
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.resolve import Resolved, resolve
from xinfer.model.catalog.schema import Entry, Variant
from xinfer.model.catalog.surroundings import Surroundings
from xinfer.types.deployment import LaunchSpec
from xinfer.types.model import ModelSpec, Source

REPO = "lab/model-GGUF"
FORMS = [gguf("model", each, size_in_billions=7) for each in ("Q4_K_M", "Q8_0")]
ENTRY = Entry(
    name="my-chat",
    type="LLM",
    family="chat",
    context_length=4096,
    abilities=("chat",),
    variants=(
        Variant(
            format="ggufv2",
            size=7,
            quantizations=("Q4_K_M", "Q8_0"),
            file="model-{quantization}.gguf",
            hf=REPO,
            ms="other/model",
        ),
        Variant(format="ggufv2", size=14, quantizations=("Q4_K_M",), hf="lab/large", file="l.gguf"),
    ),
)


def launch(hubs: FakeHubs, name: str = REPO, **fields: Any) -> Resolved:
    around = Surroundings(Catalogue([ENTRY]), hubs)
    return resolve(LaunchSpec(model_name=name, **fields), around)


def source(quantization: str) -> Source:
    return Source(hub="huggingface", repo=REPO, files=(f"model-{quantization}.gguf",))


class TestARepository:
    def test_needs_no_registration_and_is_not_downloaded_to_be_resolved(self) -> None:
        hubs = FakeHubs({REPO: FORMS})
        found = launch(hubs)
        assert found.model.path == ""
        assert found.model.sources == (source("Q4_K_M"),)
        assert (found.model.hub, found.model.model_id) == ("huggingface", REPO)
        assert found.memory.weights > 4e9
        assert [each.hub for each in hubs.asked] == ["huggingface", "modelscope"]

    @pytest.mark.parametrize("name", [f"{REPO}:q8_0", f"hf.co/{REPO}:Q8_0", f"hf:{REPO}:Q8_0"])
    def test_a_tag_is_the_quantisation(self, name: str) -> None:
        assert launch(FakeHubs({REPO: FORMS}), name).model.quantization == "Q8_0"

    def test_a_tag_that_says_nothing_is_none(self) -> None:
        assert launch(FakeHubs({REPO: FORMS}), f"{REPO}:latest").model.quantization == "Q4_K_M"

    def test_a_tag_and_a_field_that_differ_are_refused(self) -> None:
        with pytest.raises(InvalidRequest, match="Give one of them") as raised:
            launch(FakeHubs({REPO: FORMS}), f"{REPO}:Q8_0", quantization="Q4_K_M")
        assert raised.value.param == "quantization"

    def test_a_quantisation_that_is_not_there_lists_what_is(self) -> None:
        with pytest.raises(InvalidRequest, match="it is with: Q4_K_M, Q8_0") as raised:
            launch(FakeHubs({REPO: FORMS}), f"{REPO}:Q5_0")
        assert raised.value.param == "quantization"

    def test_a_file_of_it_is_the_one_that_is_launched(self) -> None:
        hubs = FakeHubs({REPO: FORMS})
        assert launch(hubs, f"hf:{REPO}/model-Q8_0.gguf").model.quantization == "Q8_0"
        with pytest.raises(NotFound, match=r"no model in a file other.gguf"):
            launch(hubs, f"hf:{REPO}/other.gguf")

    def test_one_hub_alone_is_asked_where_the_launch_names_it(self) -> None:
        for name, hub in ((f"hf:{REPO}", None), (REPO, "HF")):
            hubs = FakeHubs({REPO: FORMS})
            launch(hubs, name, download_hub=hub)
            assert [each.hub for each in hubs.asked] == ["huggingface"]

    def test_two_hubs_at_once_are_refused(self) -> None:
        with pytest.raises(InvalidRequest) as raised:
            launch(FakeHubs({REPO: FORMS}), f"hf:{REPO}", download_hub="modelscope")
        assert raised.value.param == "download_hub"

    def test_that_no_hub_has_is_not_found(self) -> None:
        with pytest.raises(NotFound) as raised:
            launch(FakeHubs(), "lab/none")
        assert (raised.value.code, raised.value.param) == ("model_not_found", "model_name")


class TestWithoutARoute:
    def test_what_was_had_before_starts_without_asking_anybody(self) -> None:
        hubs = FakeHubs(cache={REPO: FORMS[1:]}, online=False)
        for name, asked in ((REPO, {}), (f"{REPO}:Q8_0", {}), ("my-chat:Q8_0", {})):
            assert launch(hubs, name, **asked).model.quantization == "Q8_0"
        assert hubs.asked == []

    def test_what_was_not_is_refused_with_both_hubs_and_the_cures(self) -> None:
        hubs = FakeHubs(cache={"lab/other": FORMS}, online=False)
        for name in ("lab/none", "my-chat"):
            with pytest.raises(Unavailable) as raised:
                launch(hubs, name)
            said = raised.value.message
            assert raised.value.code == "hub_unreachable"
            assert "huggingface cannot be reached" in said
            assert "modelscope cannot be reached" in said
            for cure in ("--model-path", "HF_ENDPOINT", "XINFERENCE_MODEL_SRC", "hf:lab/other"):
                assert cure in said

    def test_a_form_that_is_not_here_is_asked_for(self) -> None:
        hubs = FakeHubs(cache={REPO: FORMS[1:]}, repositories={REPO: FORMS})
        assert launch(hubs, f"{REPO}:Q4_K_M").model.quantization == "Q4_K_M"
        assert hubs.asked


class TestTheCatalogue:
    def test_a_name_is_one_form_with_all_its_sources_and_what_the_files_say(self) -> None:
        hubs = FakeHubs({REPO: [gguf("GGUF", "Q4_K_M", size_bytes=5, context_length=1)]})
        model = launch(hubs, "My-Chat").model
        assert (model.name, model.context_length, model.abilities) == ("my-chat", 4096, ("chat",))
        assert model.size_bytes == 5
        assert model.size_in_billions == 7
        assert [each.repo for each in model.sources] == [REPO]

    def test_a_tag_is_a_size_too(self) -> None:
        hubs = FakeHubs({"lab/large": [gguf("l", "Q4_K_M")]})
        assert launch(hubs, "my-chat:14b").model.size_in_billions == 14
        with pytest.raises(InvalidRequest) as raised:
            launch(hubs, "my-chat:14b", model_size_in_billions=7.0)
        assert raised.value.param == "model_size_in_billions"

    def test_a_repository_that_is_another_than_the_catalogue_says_is_told(self) -> None:
        hubs = FakeHubs({REPO: [gguf("m", "Q2_K"), gguf("m", "Q3_K")]})
        with pytest.raises(NotFound) as raised:
            launch(hubs, "my-chat")
        assert "there is: ggufv2 Q2_K, ggufv2 Q3_K" in raised.value.message

    def test_a_hub_that_does_not_have_it_is_refused(self) -> None:
        with pytest.raises(InvalidRequest) as raised:
            launch(FakeHubs(), "my-chat:14b", download_hub="modelscope")
        assert raised.value.param in ("download_hub", "model_size_in_billions")

    def test_code_that_only_the_files_tell_of_is_refused_before_a_download(self) -> None:
        told = [gguf("m", "Q4_K_M"), ModelSpec(name="m", format="pytorch", remote_code=("m.py",))]
        assert launch(FakeHubs({REPO: told}), "my-chat").engine


def test_an_old_format_is_refused_with_its_successor() -> None:
    for word in ("ggml", "GGMLv3"):
        with pytest.raises(InvalidRequest) as raised:
            launch(FakeHubs({REPO: FORMS}), model_format=word)
        assert raised.value.param == "model_format"
        assert "--model-format ggufv2, with the quantization Q4_K_M, Q8_0" in raised.value.message


def test_a_type_that_clients_send_by_default_is_no_claim() -> None:
    hubs = FakeHubs({"lab/e": [gguf("e", "F16", type="embedding")]})
    assert launch(hubs, "lab/e", model_type="LLM").model.type == "embedding"
    with pytest.raises(InvalidRequest):
        launch(hubs, "lab/e", model_type="rerank")


def test_a_directory_with_several_forms_is_chosen_from(tmp_path: Path) -> None:
    random_llama(tmp_path / "model-a.gguf")
    (tmp_path / "model-b.gguf").write_bytes((tmp_path / "model-a.gguf").read_bytes())
    found = launch(FakeHubs(), str(tmp_path))
    assert found.model.path.endswith("model-a.gguf")
    named = launch(FakeHubs(), "mine", model_path=str(tmp_path))
    assert named.model.name == "mine"
