"""The engine with vLLM itself: its life, its failures, and what is left of its processes.

What it says is held to the contract by the conformance suite.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.gguf_models import random_llama
from tests.support.recompute import RecomputeInTransformers
from tests.support.server import running_server
from tests.support.token_engine import Driver
from tests.support.waiting import eventually
from tools.hf_llama import llama_directory
from xinfer.errors import EngineFailed, InvalidRequest, Unavailable
from xinfer.model.engine import parse_options
from xinfer.model.inspect.model import inspect_path
from xinfer.model.llm.vllm.engine import VllmEngine
from xinfer.types.model import Progress
from xinfer.types.request import Sampling

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM has an environment of its own"),
]

OPTIONS = {"max_model_len": 256, "max_num_seqs": 4, "block_size": 32, "n_threads": 1}
CACHE = {"kv_cache_memory_bytes": 64 << 20}
DECIDED = 0.02
"""A lead of logits that no order of additions turns round in 32 bits."""
ENDLESS = Sampling(temperature=0.0, ignore_eos=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("vllm")
    return llama_directory(random_llama(directory / "noise.gguf"), directory / "noise")


def made(model: Path, **options: Any) -> VllmEngine:
    parsed = parse_options(VllmEngine, "vllm", {**OPTIONS, **CACHE, **options})
    return VllmEngine(inspect_path(str(model)), parsed)  # type: ignore[arg-type]


_others: set[int] = set()
"""Processes of engines that other tests share."""


@pytest.fixture(autouse=True)
def apart() -> Iterator[None]:
    _others.update(one.pid for one in children())
    yield
    _others.clear()


def children() -> list[psutil.Process]:
    """Processes of vLLM's that a test of this file has started and that run."""
    found = psutil.Process().children(recursive=True)
    return [
        one for one in found if "VLLM" in one.name() and one.pid not in _others and _runs(one.pid)
    ]


async def test_from_loading_to_the_death_of_its_processes(model: Path) -> None:
    engine = made(model)
    seen: list[Progress] = []
    loaded = await asyncio.to_thread(engine.load, seen.append)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert len(set(fractions)) > 3, "no progress was shown while vLLM started"
    driver = Driver(engine, loaded, inspect_path(str(model)))

    prompts = [[5], list(range(70)), list(range(70)), [7, 8]]
    answers = [await driver.ask(prompt, 9) for prompt in prompts]
    stats = engine.stats()
    assert (stats.running, stats.waiting) == (0, 0)
    assert stats.prompt_tokens == sum(map(len, prompts))
    assert stats.completion_tokens == sum(len(answer.ids) for answer in answers) == 36
    assert stats.cached_tokens == sum(answer.cached_tokens for answer in answers) == 64

    running = [driver.submit([number], 200, ENDLESS)[1] for number in range(loaded.concurrency)]
    assert (engine.stats().running, engine.stats().waiting) == (4, 4)
    await driver.wait(running[0].begun)
    core = next(process for process in children() if "EngineCore" in process.name())
    os.kill(core.pid, signal.SIGKILL)
    with pytest.raises(EngineFailed, match="processes of vLLM have ended"):
        await driver.wait(running[0].ended)
    await asyncio.to_thread(engine.close)
    _all_have_ended()


async def test_layers_divided_over_two_processes_and_closing_ends_all_of_them(
    model: Path,
) -> None:
    engine = made(model, tensor_parallel_size=2, dtype="float32")
    loaded = await asyncio.to_thread(engine.load, lambda _: None)
    assert loaded.details["tensor_parallel_size"] == 2
    assert len(children()) == 3, "a scheduler and two that compute"
    driver = Driver(engine, loaded, inspect_path(str(model)))
    reference = RecomputeInTransformers(model)
    decided = 0
    for prompt in ([number, 7, 9] for number in range(8)):
        expected = reference.greedy(prompt, 6, DECIDED)
        if expected.lead >= DECIDED:
            decided += 1
            assert (await driver.ask(prompt, 6)).ids == expected.ids
    assert decided >= 2
    _, running = driver.submit([3], 200, ENDLESS)
    await driver.wait(running.begun)
    assert children()
    await driver.close()
    _all_have_ended()


def test_a_cache_too_small_for_one_request_is_said_with_what_helps(model: Path) -> None:
    engine = made(model, kv_cache_memory_bytes=10_000)
    with pytest.raises(Unavailable, match="no memory for noise") as refused:
        engine.load(lambda _: None)
    assert refused.value.code == "no_capacity"
    assert "Lower max_model_len" in refused.value.message
    engine.close()
    _all_have_ended()


@pytest.mark.parametrize(
    ("option", "value"), [("performance_mode", "fastest"), ("data_parallel_size", "many")]
)
def test_a_value_that_vllm_does_not_take_is_said_by_the_options_name(
    model: Path, option: str, value: str
) -> None:
    engine = made(model, **{option: value})
    with pytest.raises(InvalidRequest, match=option) as refused:
        engine.load(lambda _: None)
    assert refused.value.param == option
    engine.close()


def test_an_unknown_architecture_is_refused_by_its_name(model: Path, tmp_path: Path) -> None:
    for file in model.iterdir():
        (tmp_path / file.name).write_bytes(
            file.read_bytes().replace(b"LlamaForCausalLM", b"NobodysForCausalLM")
        )
    engine = made(tmp_path)
    with pytest.raises(InvalidRequest, match="NobodysForCausalLM"):
        engine.load(lambda _: None)
    engine.close()


def test_a_server_with_vllm_and_nothing_is_left_of_a_replica_that_is_killed(model: Path) -> None:
    with running_server() as server:
        server.http.timeout = 300  # a launch is answered when vLLM has started
        body = {"model_name": str(model), "model_engine": "vllm", "max_num_seq": 4}
        refused = server.http.post("/v1/models", json=body)
        assert refused.status_code == 400
        assert "no option 'max_num_seq'" in refused.text
        uid = server.launch(
            str(model), model_uid="v", model_engine="vllm", replica=1, **OPTIONS, **CACHE
        )
        pid = server.replicas(uid)[0]["pid"]
        group = [process.pid for process in psutil.Process(pid).children(recursive=True)]
        assert len(group) >= 2
        answer = server.http.post(
            "/v1/completions", json={"model": uid, "prompt": "a", "max_tokens": 5}
        )
        assert answer.json()["usage"]["completion_tokens"] == 5
        choice = {"model": uid, "prompt": "a", "guided_choice": ["yes", "no"]}
        answer = server.http.post("/v1/completions", json=choice)
        assert answer.json()["choices"][0]["text"] in ("yes", "no")
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not any(map(_runs, group)), 2, "the end of vLLM's processes")
        server.terminate(uid)


def _all_have_ended() -> None:
    eventually(lambda: not children(), 5, "the end of vLLM's processes")


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
