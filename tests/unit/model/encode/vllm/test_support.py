"""What the pooling engine says of itself, and what it asks of vLLM, which is not imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.vllm_installed import vllm_installed
from xinfer.errors import InvalidRequest
from xinfer.model.encode.vllm.arguments import engine_arguments
from xinfer.model.encode.vllm.engine import VllmPoolingEngine
from xinfer.model.encode.vllm.options import VllmPoolingOptions
from xinfer.model.encode_engine import EncodeEngine, SpellingEngine
from xinfer.types.model import EncodeSpec, ModelSpec
from xinfer.types.shape import LayerCache, ModelShape

SHAPE = ModelShape(layers=2, hidden=64, caches=(LayerCache(layers=2, key=64, value=64),))


def model(kind: str = "embedding", path: Path = Path("/nowhere"), **encode: Any) -> ModelSpec:
    return ModelSpec(
        name="m",
        type=kind,
        format="pytorch",
        path=str(path),
        context_length=512,
        shape=SHAPE,
        encode=EncodeSpec(**encode),
    )


def arguments(path: Path, *, kind: str = "embedding", devices: int = 1, **encode: Any) -> Any:
    return engine_arguments(model(kind, path, **encode), VllmPoolingOptions(), devices=devices)


def test_it_is_an_engine_of_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    vllm_installed(monkeypatch, {"vllm": "0.33.0"})
    engine = VllmPoolingEngine(model(), VllmPoolingOptions())
    assert isinstance(engine, EncodeEngine)
    assert isinstance(engine, SpellingEngine)


@pytest.mark.parametrize("kind", ["embedding", "rerank"])
def test_models_with_a_head_are_its(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    vllm_installed(monkeypatch, {"vllm": "0.33.0"})
    assert VllmPoolingEngine.support(model(kind)).ok


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (ModelSpec(name="m", format="pytorch"), "type LLM"),
        (ModelSpec(name="m", type="embedding", format="ggufv2"), "formats pytorch"),
        (model("rerank", generative=True), "with a head"),
    ],
)
def test_others_are_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, spec: ModelSpec, reason: str
) -> None:
    vllm_installed(monkeypatch, {"vllm": "0.33.0"})
    support = VllmPoolingEngine.support(spec)
    assert (support.ok, support.extra) == (False, None)
    assert reason in support.reason


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    vllm_installed(monkeypatch, {})
    support = VllmPoolingEngine.support(model())
    assert (support.ok, support.extra) == (False, "vllm")


def test_vectors_are_made_as_the_files_say(tmp_path: Path) -> None:
    made = arguments(tmp_path, pooling="cls", normalised=True)
    assert made["pooler_config"] == {"seq_pooling_type": "CLS", "use_activation": True}
    assert (made["runner"], made["convert"]) == ("pooling", "embed")
    bare = arguments(tmp_path)
    assert bare["pooler_config"] == {"seq_pooling_type": "MEAN", "use_activation": False}
    head = arguments(tmp_path, kind="rerank")
    assert head["convert"] == "classify"
    assert "pooler_config" not in head


def test_a_pooling_that_vllm_does_not_do_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"by max; vLLM does mean, cls, last") as refused:
        arguments(tmp_path, pooling="max")
    assert refused.value.param == "model_engine"


def test_a_step_that_vllm_would_leave_out_is_refused(tmp_path: Path) -> None:
    steps = ["Transformer", "Pooling", "LayerNorm"]
    kinds = [{"type": f"sentence_transformers.models.{step}", "path": ""} for step in steps]
    (tmp_path / "modules.json").write_text(json.dumps(kinds))
    with pytest.raises(InvalidRequest, match="with LayerNorm; vLLM knows"):
        arguments(tmp_path)
    (tmp_path / "modules.json").write_text(json.dumps(kinds[:2]))
    assert arguments(tmp_path)


def test_processors_compute_in_32_bits_and_take_little_memory(tmp_path: Path) -> None:
    made = arguments(tmp_path, devices=0)
    assert made["dtype"] == "float32"
    assert 0 < made["kv_cache_memory_bytes"] < 256 << 20
    accelerated = arguments(tmp_path)
    assert accelerated["dtype"] == "auto"
    assert accelerated["kv_cache_memory_bytes"] is None


def test_importing_it_imports_neither_vllm_nor_pytorch() -> None:
    program = (
        "import sys, xinfer.model.encode.vllm.engine; print({'vllm', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert done.stdout == b"set()\n"
