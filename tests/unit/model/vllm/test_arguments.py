"""vLLM's arguments and environment, whatever the model is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xinfer.errors import InvalidRequest
from xinfer.model.vllm.arguments import environment, shared_arguments
from xinfer.model.vllm.options import SharedOptions
from xinfer.types.model import ModelSpec

MODEL = ModelSpec(name="m", format="pytorch", path="/m", context_length=32768)


def arguments(
    devices: int = 1,
    model: ModelSpec = MODEL,
    further: dict[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    return shared_arguments(model, SharedOptions(**options), further or {}, devices=devices)


@pytest.mark.parametrize(
    ("devices", "pipeline", "tensor"), [(0, 1, 1), (1, 1, 1), (4, 1, 4), (8, 2, 4), (1, 2, 1)]
)
def test_layers_are_divided_over_all_accelerators(devices: int, pipeline: int, tensor: int) -> None:
    made = arguments(devices, pipeline_parallel_size=pipeline)
    assert made["tensor_parallel_size"] == tensor


def test_copies_within_a_replica_and_other_nodes_count_too() -> None:
    assert arguments(8, further={"data_parallel_size": 2})["tensor_parallel_size"] == 4
    two_nodes = arguments(4, further={"nnodes": "2"}, pipeline_parallel_size=2)
    assert two_nodes["tensor_parallel_size"] == 4


def test_accelerators_that_cannot_be_divided_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"3 accelerators .* 2 groups") as refused:
        arguments(3, pipeline_parallel_size=2)
    assert refused.value.param == "tensor_parallel_size"
    assert arguments(3, pipeline_parallel_size=2, tensor_parallel_size=1)


def test_further_arguments_go_by_their_own_names_and_win() -> None:
    made = arguments(further={"performance_mode": "throughput", "disable_log_stats": False})
    assert (made["performance_mode"], made["disable_log_stats"]) == ("throughput", False)


def test_one_process_computes_on_processors_unless_it_is_divided() -> None:
    assert "uniproc" in arguments(0)["distributed_executor_backend"]
    assert arguments(0, tensor_parallel_size=2)["distributed_executor_backend"] is None
    assert arguments(1)["distributed_executor_backend"] is None
    asked = arguments(0, further={"distributed_executor_backend": "mp"})
    assert asked["distributed_executor_backend"] == "mp"


def test_code_of_the_model_runs_only_where_it_brings_some() -> None:
    assert arguments()["trust_remote_code"] is False
    model = ModelSpec(name="m", format="pytorch", path="/m", remote_code=("modeling.py",))
    assert arguments(model=model)["trust_remote_code"] is True


def test_bitsandbytes_is_named() -> None:
    model = ModelSpec(name="m", format="bnb", path="/m")
    assert arguments(model=model)["quantization"] == "bitsandbytes"


def test_its_processes_log_where_they_are_told_and_ask_nobody() -> None:
    variables = environment(SharedOptions(n_threads=3), Path("/l.json"), accelerated=False)
    assert variables["VLLM_LOGGING_CONFIG_PATH"] == "/l.json"
    assert variables["VLLM_NO_USAGE_STATS"] == variables["HF_HUB_OFFLINE"] == "1"
    assert variables["VLLM_WORKER_MULTIPROC_METHOD"] == "spawn"
    assert (variables["OMP_NUM_THREADS"], variables["VLLM_CPU_OMP_THREADS_BIND"]) == ("3", "nobind")
    accelerated = environment(SharedOptions(), Path("/l.json"), accelerated=True)
    assert "OMP_NUM_THREADS" not in accelerated


def test_compiled_graphs_are_compiled_where_they_are_asked_for() -> None:
    def off(**options: Any) -> bool:
        made = environment(SharedOptions(**options), Path("/l.json"), accelerated=False)
        return "TORCHDYNAMO_DISABLE" in made

    assert off()
    assert not off(enforce_eager=False)


def test_the_scheduler_is_in_this_process_where_it_is_stepped_by_it() -> None:
    for alone, value in ((True, "0"), (False, "1")):
        made = environment(SharedOptions(), Path("/l.json"), accelerated=False, alone=alone)
        assert made["VLLM_ENABLE_V1_MULTIPROCESSING"] == value
