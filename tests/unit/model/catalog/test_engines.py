"""What each engine can run of a model."""

from __future__ import annotations

import pytest

from tests.unit.model.catalog.fakes import FakeHubs, gguf
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.engines import engines_of
from xinfer.model.catalog.surroundings import Surroundings
from xinfer.types.deployment import LaunchSpec
from xinfer.types.model import ModelSpec

FORMS = [
    gguf("model", "Q4_K_M", size_in_billions=0.5),
    gguf("model", "Q8_0", size_in_billions=0.5),
    gguf("model", "Q8_0", size_in_billions=7),
    ModelSpec(name="model", format="pytorch", size_in_billions=7),
]


def ask(**fields: object) -> dict[str, object]:
    around = Surroundings(Catalogue(), FakeHubs({"lab/model": FORMS}))
    return dict(engines_of(LaunchSpec(model_name="lab/model", **fields), around))  # type: ignore[arg-type]


def test_an_engine_that_can_lists_its_forms_in_the_incumbents_shape() -> None:
    assert ask()["xllamacpp"] == [
        {
            "model_name": "model",
            "model_format": "ggufv2",
            "model_size_in_billions": "0_5",
            "quantizations": ["Q4_K_M", "Q8_0"],
        },
        {
            "model_name": "model",
            "model_format": "ggufv2",
            "model_size_in_billions": 7,
            "quantizations": ["Q8_0"],
        },
    ]


def test_one_that_cannot_says_why_and_which_extra_would_bring_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("xinfer.model.llm.llama_cpp.engine.installed", lambda: False)
    monkeypatch.setattr("xinfer.model.vllm.installed.find_spec", lambda name: None)
    answers = ask()
    assert "pip install 'xinfer[llama-cpp]'" in str(answers["llama-cpp-python"])
    assert "pip install 'xinfer[vllm]'" in str(answers["vllm"])


def test_only_the_forms_that_are_asked_for_count() -> None:
    answers = ask(model_format="pytorch")
    assert "it runs .gguf files" in str(answers["xllamacpp"])


def test_engines_for_other_types_of_model_say_so() -> None:
    assert "it runs image models" in str(ask(model_format="pytorch")["diffusers"])
