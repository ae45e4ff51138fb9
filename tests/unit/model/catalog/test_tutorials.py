"""What the names that people have in their tutorials come to: on processors, on one GPU, and
without a hub."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.model.catalog.fakes import (
    ONE_GPU,
    PROCESSORS,
    FakeHubs,
    fake_engine,
    runs_pytorch,
)
from xinfer.errors import InvalidRequest, Unavailable, XinferError
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.host import Host
from xinfer.model.catalog.resolve import Resolved, resolve
from xinfer.model.catalog.surroundings import Surroundings
from xinfer.model.engine import BUILTIN, Support, find_engine
from xinfer.types.deployment import LaunchSpec
from xinfer.types.model import ModelSpec

QWEN_14B = {"model_name": "qwen-chat", "model_size_in_billions": 14.0, "model_format": "pytorch"}
CODE = {"chatglm3": ("modeling_chatglm.py",), "qwen-vl-chat": ("modeling_qwen.py",)}
"""Models whose repositories name code that has to be run, and its files."""


def hubs_with(name: str, *, online: bool = True) -> FakeHubs:
    """The repositories of a model of the catalogue hold what the catalogue says."""
    repositories: dict[str, list[ModelSpec]] = {}
    for form in Catalogue().find(name).models():
        for source in form.sources:
            held = ModelSpec(
                name=source.repo,
                type=form.type,
                format=form.format,
                quantization=form.quantization,
                architecture=form.architecture,
                files=source.files,
                remote_code=CODE.get(name, ()) if form.format == "pytorch" else (),
            )
            repositories.setdefault(source.repo, []).append(held)
    return FakeHubs(repositories, online=online)


def launch(host: Host, fields: dict[str, Any], *, online: bool = True) -> Resolved:
    hubs = hubs_with(fields["model_name"].partition(":")[0], online=online)
    return resolve(LaunchSpec(**fields), Surroundings(Catalogue(), hubs, host))


def refused(host: Host, fields: dict[str, Any], *, online: bool = True) -> XinferError:
    with pytest.raises(XinferError) as raised:
        launch(host, fields, online=online)
    return raised.value


@pytest.mark.parametrize("host", [PROCESSORS, ONE_GPU], ids=["processors", "one gpu"])
class TestWithTheEnginesThatThereAre:
    def test_qwen_chat_runs_as_gguf_and_is_refused_as_pytorch(self, host: Host) -> None:
        found = launch(host, {"model_name": "qwen-chat"})
        assert (found.model.format, found.model.quantization) == ("ggufv2", "Q4_K_M")
        assert found.model.size_in_billions == 7
        assert launch(host, {"model_name": "qwen-chat:14b"}).model.size_in_billions == 14
        error = refused(host, QWEN_14B)
        assert isinstance(error, InvalidRequest)
        assert error.param == "model_format"
        assert re.search(r"qwen-chat 14B \(LLM, pytorch\)", error.message)
        assert "--model-format ggufv2" in error.message

    def test_qwen1_5_chat_is_the_smallest(self, host: Host) -> None:
        found = launch(host, {"model_name": "qwen1.5-chat"})
        assert found.model.format == "ggufv2"
        assert found.model.size_in_billions == 0.5
        assert "the smallest is taken" in found.reason

    @pytest.mark.parametrize(
        "name",
        [
            "chatglm3", "vicuna-v1.3", "qwen-vl-chat", "bge-base-en-v1.5", "bge-reranker-base",
            "sdxl-turbo", "whisper-large-v3",
        ],
    )  # fmt: skip
    def test_what_only_engines_to_come_run_is_refused_with_their_names(
        self, host: Host, name: str
    ) -> None:
        forms = Catalogue().find(name).models()
        if any(engine.support(form).ok for engine in _engines() for form in forms):
            assert launch(host, {"model_name": name}).engine in BUILTIN
            return
        error = refused(host, {"model_name": name})
        assert isinstance(error, InvalidRequest)
        assert name in error.message
        assert re.search(r"not in this version of xinfer|pip install 'xinfer\[", error.message)


def _engines() -> list[Any]:
    return [find_engine(name)[1] for name in BUILTIN]


@pytest.fixture
def pytorch_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines that run what the catalogue has of PyTorch's models, on GPUs."""

    def of(*kinds: str) -> Callable[[ModelSpec], Support]:
        return lambda spec: (
            runs_pytorch(spec)
            if spec.type in kinds and (spec.format or spec.type in ("image", "audio"))
            else Support(False, f"it runs models of type {', '.join(kinds)}")
        )

    def media(spec: ModelSpec) -> Support:
        return Support(spec.type in ("image", "audio"), "it runs images and sound")

    known = {
        "transformers": fake_engine(of("LLM"), "cuda"),
        "sentence_transformers": fake_engine(of("embedding", "rerank"), "cuda"),
        "diffusers": fake_engine(media, "cuda"),
        "llama-cpp-python": fake_engine(lambda spec: Support(spec.format == "ggufv2"), "cuda"),
    }
    monkeypatch.setattr("xinfer.model.catalog.support.BUILTIN", known)
    monkeypatch.setattr("xinfer.model.catalog.support.engine_names", lambda: sorted(known))
    for module in ("support", "choose", "resolve"):
        monkeypatch.setattr(
            f"xinfer.model.catalog.{module}.find_engine", lambda name: (name, known[name])
        )


@pytest.mark.usefixtures("pytorch_engines")
class TestWithEnginesForPyTorch:
    @pytest.mark.parametrize(
        ("fields", "on_processors", "on_one_gpu"),
        [
            ({"model_name": "qwen-chat"}, "1.8 pytorch none", "1.8 pytorch none"),
            (QWEN_14B, "14 pytorch none", "14 pytorch none"),
            ({"model_name": "qwen1.5-chat"}, "0.5 ggufv2 q4_k_m", "0.5 pytorch none"),
            ({"model_name": "vicuna-v1.3"}, "7 pytorch none", "7 pytorch none"),
            ({"model_name": "vicuna-v1.3:13b"}, "13 pytorch none", "13 pytorch none"),
            ({"model_name": "bge-base-en-v1.5"}, "None pytorch none", "None pytorch none"),
            ({"model_name": "bge-reranker-base"}, "None pytorch none", "None pytorch none"),
        ],
    )
    def test_a_form_is_chosen_for_the_host(
        self, fields: dict[str, Any], on_processors: str, on_one_gpu: str
    ) -> None:
        for host, expected in ((PROCESSORS, on_processors), (ONE_GPU, on_one_gpu)):
            model = launch(host, fields).model
            size = model.size_in_billions
            words = f"{size and format(size, 'g')} {model.format} {model.quantization.lower()}"
            assert words == expected

    @pytest.mark.parametrize(
        ("name", "forms"),
        [("sdxl-turbo", (None, "pytorch", "diffusers")), ("whisper-large-v3", (None, "pytorch"))],
    )
    def test_pictures_and_sound_have_engines_of_their_own(
        self, name: str, forms: tuple[str | None, ...]
    ) -> None:
        for form in forms:
            fields = {"model_name": name, "model_format": form}
            assert launch(ONE_GPU, fields).engine == "diffusers"
        assert refused(ONE_GPU, {"model_name": name, "model_format": "awq"}).param == "model_format"

    @pytest.mark.parametrize("name", sorted(CODE))
    def test_code_that_comes_with_a_model_is_refused_by_its_files(self, name: str) -> None:
        error = refused(ONE_GPU, {"model_name": name, "trust_remote_code": True})
        assert error.param == "trust_remote_code"
        assert CODE[name][0] in error.message

    @pytest.mark.parametrize(
        "fields",
        [
            {"model_name": name}
            for name in (
                "qwen-chat", "qwen1.5-chat", "chatglm3", "vicuna-v1.3", "qwen-vl-chat",
                "bge-base-en-v1.5", "bge-reranker-base", "sdxl-turbo", "whisper-large-v3",
            )
        ]
        + [QWEN_14B],
        ids=lambda fields: "-".join(map(str, fields.values())),
    )  # fmt: skip
    def test_without_a_hub_each_fails_with_the_cures(self, fields: dict[str, Any]) -> None:
        error = refused(PROCESSORS, fields, online=False)
        assert isinstance(error, Unavailable)
        assert error.code == "hub_unreachable"
        assert "huggingface cannot be reached" in error.message
        assert "--model-path" in error.message
