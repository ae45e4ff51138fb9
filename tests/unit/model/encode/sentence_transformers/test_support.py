"""Which models it runs, and what it costs those who only ask."""

from __future__ import annotations

import subprocess
import sys

import pytest

from xinfer.errors import InvalidRequest
from xinfer.model.encode.sentence_transformers.engine import SentenceTransformersEngine
from xinfer.model.encode_engine import EncodeEngine, SpellingEngine
from xinfer.model.engine import parse_options
from xinfer.types.model import ModelSpec

EMBEDDING = ModelSpec(name="a", format="pytorch", type="embedding")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (EMBEDDING, ""),
        (ModelSpec(name="a", format="pytorch", type="rerank"), ""),
        (ModelSpec(name="a", format="pytorch", type="LLM"), "models of type LLM"),
        (ModelSpec(name="a", format="ggufv2", type="rerank"), "Hugging Face's format"),
        (
            ModelSpec(name="a", format="pytorch", type="rerank", remote_code=("a/b--modeling.py",)),
            "in another repository: a/b--modeling.py",
        ),
    ],
)
def test_models_that_it_runs(spec: ModelSpec, reason: str) -> None:
    support = SentenceTransformersEngine.support(spec)
    assert support.ok is not bool(reason)
    assert reason in support.reason


def test_program_code_of_a_model_is_said_to_be_run() -> None:
    own = ModelSpec(name="a", format="pytorch", type="embedding", remote_code=("modeling.py",))
    assert SentenceTransformersEngine.support(own).runs_code
    assert not SentenceTransformersEngine.support(EMBEDDING).runs_code


@pytest.mark.parametrize("kind", ["embedding", "rerank"])
def test_what_is_not_installed_is_said_to_be(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(
        "xinfer.model.encode.sentence_transformers.engine.find_spec",
        lambda name: None if name == "torch" else name,
    )
    support = SentenceTransformersEngine.support(ModelSpec(name="a", format="pytorch", type=kind))
    assert not support.ok
    assert support.reason == "torch is not installed"
    assert support.extra == kind
    assert SentenceTransformersEngine.accelerators() is None


def test_asking_loads_none_of_its_libraries() -> None:
    program = """
import sys
from xinfer.model.engine import engine_names, find_engine, parse_options
from xinfer.types.model import ModelSpec
spec = ModelSpec(name="a", format="pytorch", type="embedding")
for name in engine_names():
    engine = find_engine(name)[1]
    engine.support(spec), engine.accelerators()
kind = find_engine("sentence_transformers")[1]
kind.estimate(spec, parse_options(kind, "sentence_transformers", {}))
print(sorted({"torch", "transformers", "sentence_transformers", "tokenizers"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_options_are_checked_before_anything_is_loaded() -> None:
    for bad in ({"device": "tpu"}, {"dtype": "int8"}, {"batch_items": 0}):
        with pytest.raises(InvalidRequest):
            parse_options(SentenceTransformersEngine, "sentence_transformers", dict(bad))


def test_engine_has_the_contract() -> None:
    engine = SentenceTransformersEngine(EMBEDDING, SentenceTransformersEngine.options()())
    assert isinstance(engine, EncodeEngine)
    assert isinstance(engine, SpellingEngine)
