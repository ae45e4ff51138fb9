"""Memory that runs out in a step: the request that needs the most ends, the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.token_engine import Answer, driving
from tests.unit.model.llm.transformers.conftest import MakeModel
from xinfer.model.engine import TokenRequest
from xinfer.model.inspect.model import inspect_path
from xinfer.model.llm.transformers import computer
from xinfer.model.llm.transformers.attention import SlotCache
from xinfer.model.llm.transformers.engine import TransformersEngine
from xinfer.model.llm.transformers.options import TransformersOptions

pytestmark = pytest.mark.anyio

ALLOCATOR = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 9000000000 bytes. Error code 12 (Cannot allocate memory)"
)


def engine_for(path: Path, batching: Any) -> TransformersEngine:
    options = TransformersOptions(
        n_threads=1, max_model_len=1000, max_num_seqs=3, max_batch_tokens=64, batching=batching
    )
    return TransformersEngine(inspect_path(str(path)), options)


def without_memory_beyond(tokens: int, monkeypatch: pytest.MonkeyPatch, batching: str) -> None:
    """As PyTorch fails in the midst of a call that it has no memory for."""
    if batching == "packed":
        reserve = SlotCache.reserve

        def little(self: SlotCache, length: int) -> None:
            if length > tokens:
                raise RuntimeError(ALLOCATOR)
            reserve(self, length)

        monkeypatch.setattr(SlotCache, "reserve", little)
        return
    update = computer.DynamicCache.update

    def full(self: Any, keys: Any, values: Any, layer: int, *more: Any, **fields: Any) -> Any:
        found = update(self, keys, values, layer, *more, **fields)
        if layer == 1 and found[0].shape[2] > tokens:  # the first layer has them already
            raise RuntimeError(ALLOCATOR)
        return found

    monkeypatch.setattr(computer.DynamicCache, "update", full)


def ended_for_memory(answer: Answer) -> bool:
    return (
        answer.finish == "error"
        and answer.failure is not None
        and answer.failure.code == "out_of_memory"
        and "There is no memory to compute" in answer.failure.message
        and "smaller max_model_len or max_num_seqs" in answer.failure.message
    )


@pytest.mark.parametrize("batching", ["packed", "rows"])
async def test_a_request_that_finds_no_memory_ends_alone(
    batching: str, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_for(make_model("llama"), batching)
    spec = inspect_path(str(make_model("llama")))
    async with driving(engine, spec) as driver:
        alone = await driver.ask([5, 9] * 100, 20)
        long = await driver.ask([6, 11] * 250, 20)
    engine = engine_for(make_model("llama"), batching)
    async with driving(engine, spec) as driver:
        without_memory_beyond(300, monkeypatch, batching)
        fine, failed, other = await asyncio.gather(
            driver.ask([5, 9] * 100, 20), driver.ask([6, 11] * 250, 20), driver.ask([7, 8], 60)
        )
        assert ended_for_memory(failed)
        assert fine.ids == alone.ids
        assert (other.finish, len(other.ids)) == ("length", 60)
        assert (await driver.ask([5, 9] * 100, 20)).ids == alone.ids
        monkeypatch.undo()
        assert (await driver.ask([6, 11] * 250, 20)).ids == long.ids


@pytest.mark.parametrize("batching", ["packed", "rows"])
async def test_tokens_that_find_no_memory_when_they_are_chosen_end_their_requests(
    batching: str, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose: Callable[..., Any] = computer.choose

    def failing(*given: Any) -> Any:
        raise RuntimeError(ALLOCATOR)

    engine = engine_for(make_model("llama"), batching)
    async with driving(engine, inspect_path(str(make_model("llama")))) as driver:
        monkeypatch.setattr(computer, "choose", failing)
        failed = await driver.ask([5, 6], 5)
        assert failed.failure is not None
        assert failed.failure.code == "out_of_memory"
        assert "no memory to choose" in failed.failure.message
        monkeypatch.setattr(computer, "choose", choose)
        assert len((await driver.ask([5, 6], 5)).ids) == 5


async def test_a_prefix_that_there_is_no_memory_to_copy_is_computed_again(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = [5, 9, 14] * 120

    def failing(_: Any) -> None:
        raise RuntimeError(ALLOCATOR)

    engine = engine_for(make_model("llama"), "rows")
    async with driving(engine, inspect_path(str(make_model("llama")))) as driver:
        first = await driver.ask(prompt, 5)
        monkeypatch.setattr(computer.copy, "deepcopy", failing)
        both = await asyncio.gather(driver.ask(prompt, 30), driver.ask(prompt, 30))
    assert both[0].ids == both[1].ids
    assert both[0].ids[:5] == first.ids


async def test_another_failure_of_a_step_ends_the_engine(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_for(make_model("llama"), "packed")
    loaded = await asyncio.to_thread(engine.load, lambda _: None)
    assert loaded.concurrency

    def failing(self: SlotCache, length: int) -> None:
        raise RuntimeError("an illegal memory access")

    monkeypatch.setattr(SlotCache, "reserve", failing)
    engine.submit(TokenRequest(id=1, prompt=[5, 6], max_tokens=3))
    steps = engine.steps()
    with pytest.raises(RuntimeError, match="illegal memory access"):
        await anext(steps)
    await asyncio.to_thread(engine.close)
