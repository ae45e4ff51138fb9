"""vLLM's arguments and environment, of a model and its launch options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xinfer.errors import InvalidRequest
from xinfer.model.llm.vllm.arguments import (
    adapter_paths,
    engine_arguments,
    processors_cache,
    takes_seeds,
)
from xinfer.model.llm.vllm.options import VllmOptions
from xinfer.types.model import LoraAdapter, ModelSpec
from xinfer.types.shape import LayerCache, ModelShape

SHAPE = ModelShape(layers=2, hidden=64, caches=(LayerCache(layers=2, key=64, value=64),))
MODEL = ModelSpec(name="m", format="pytorch", path="/m", context_length=32768, shape=SHAPE)


def arguments(devices: int = 1, model: ModelSpec = MODEL, **options: Any) -> dict[str, Any]:
    return engine_arguments(model, VllmOptions(**options), devices=devices)


def test_options_go_by_their_own_names() -> None:
    given: dict[str, Any] = {
        "max_model_len": 100,
        "max_num_seqs": 3,
        "max_num_batched_tokens": 64,
        "gpu_memory_utilization": 0.5,
        "kv_cache_memory_bytes": 1000,
        "kv_cache_dtype": "fp8",
        "block_size": 32,
        "tensor_parallel_size": 2,
        "pipeline_parallel_size": 3,
        "dtype": "bfloat16",
        "quantization": "fp8",
        "enforce_eager": True,
        "enable_prefix_caching": False,
        "enable_chunked_prefill": False,
        "cpu_offload_gb": 1.5,
        "load_format": "dummy",
        "hf_overrides": {"a": 1},
        "seed": 5,
    }
    made = arguments(**given)
    assert {name: made[name] for name in given} == given


def test_on_processors_it_is_shorter_eager_and_takes_no_share_of_memory() -> None:
    made = arguments(0)
    assert (made["max_model_len"], made["enforce_eager"]) == (8192, True)
    assert made["kv_cache_memory_bytes"] == processors_cache(MODEL, VllmOptions())
    assert arguments(1)["max_model_len"] == 32768
    assert arguments(1)["kv_cache_memory_bytes"] is None


def test_on_processors_prompts_are_computed_whole_for_the_sake_of_seeds() -> None:
    made = arguments(0)
    assert (made["enable_chunked_prefill"], made["max_num_batched_tokens"]) == (False, 8192)
    assert arguments(0, max_model_len=100)["max_num_batched_tokens"] == 2048
    assert takes_seeds(VllmOptions(), accelerated=False)
    pieces = VllmOptions(enable_chunked_prefill=True, max_num_batched_tokens=64)
    made = engine_arguments(MODEL, pieces, devices=0)
    assert (made["enable_chunked_prefill"], made["max_num_batched_tokens"]) == (True, 64)
    assert not takes_seeds(pieces, accelerated=False)
    assert takes_seeds(pieces, accelerated=True)


def test_the_cache_on_processors_has_room_for_four_of_the_whole_length() -> None:
    room = processors_cache(MODEL, VllmOptions())
    needed = 4 * 8192 * 2 * (64 + 64) * 2
    assert needed < room < 1.2 * needed + (64 << 20)
    assert processors_cache(MODEL, VllmOptions(dtype="float32")) > 1.7 * room - (64 << 20)
    assert processors_cache(MODEL, VllmOptions(max_num_seqs=1)) < room - needed / 2


def test_adapters_have_room_for_all_of_them() -> None:
    assert "enable_lora" not in arguments()
    made = arguments(lora={"a": "/a", "b": "/b"}, max_lora_rank=64)
    assert (made["enable_lora"], made["max_loras"], made["max_cpu_loras"]) == (True, 2, 2)
    assert made["max_lora_rank"] == 64
    made = arguments(lora={"a": "/a", "b": "/b"}, max_loras=1)
    assert (made["max_loras"], made["max_cpu_loras"]) == (1, 2)


def test_on_processors_a_slot_for_adapters_stays_empty() -> None:
    made = arguments(0, lora={"a": "/a", "b": "/b"}, max_loras=1)
    assert (made["max_loras"], made["max_cpu_loras"]) == (3, 3)


def test_adapters_are_directories_of_peft(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").touch()
    assert adapter_paths({"a": str(tmp_path)}) == {"a": str(tmp_path)}
    with pytest.raises(InvalidRequest, match=r"adapter b: .*adapter_config\.json"):
        adapter_paths({"b": str(tmp_path / "nowhere")})
    with pytest.raises(InvalidRequest, match="lora_alpha"):
        adapter_paths({"a": LoraAdapter(str(tmp_path), 0.5)})
