"""LoRA adapters: each request is answered with its own, whoever it is computed beside."""

from __future__ import annotations

import asyncio

import pytest

from tests.conformance.company import answer, together
from tests.conformance.engines import declaring, lacking
from tests.conformance.subject import Subject, Work
from xinfer.errors import XinferError
from xinfer.types.request import CompletionRequest

pytestmark = pytest.mark.anyio

ADAPTERS = (None, "left", "right")


def _works(subject: Subject, adapter: str | None, **fields: object) -> list[Work]:
    return subject.works([3, 40, 120], seed=50, adapter=adapter, **fields)


@declaring("adapters")
async def test_they_change_what_the_model_says(subject: Subject) -> None:
    answers = [
        tuple(tuple(work.expected.ids) for work in _works(subject, adapter)) for adapter in ADAPTERS
    ]
    assert len(set(answers)) == len(ADAPTERS)
    async with subject.running(adapters=subject.adapters()) as driver:
        for adapter in ADAPTERS:
            for work in _works(subject, adapter):
                await answer(driver, work, adapter=adapter)


@declaring("adapters")
@pytest.mark.parametrize("slots", [2, 9])
async def test_all_of_them_at_once(subject: Subject, slots: int) -> None:
    async with subject.running(adapters=subject.adapters(), slots=slots, step=64) as driver:
        for _ in range(2):
            await asyncio.gather(
                *(
                    together(driver, _works(subject, adapter), adapter=adapter)
                    for adapter in ADAPTERS
                )
            )


@declaring("adapters")
async def test_what_was_computed_with_one_is_not_reused_with_another(subject: Subject) -> None:
    (prefix,) = subject.prompts([100], seed=51)
    async with subject.running(adapters=subject.adapters(), slots=3) as driver:
        for _ in range(2):
            for adapter in ADAPTERS:
                for work in _works(subject, adapter, prefix=prefix):
                    await answer(driver, work, adapter=adapter)


@lacking("adapters")
async def test_an_engine_without_adapters_refuses_them(subject: Subject) -> None:
    async with subject.running() as driver:
        with pytest.raises(XinferError, match="left") as refused:
            driver.pipeline.prepare(CompletionRequest(prompt=[1], adapter="left"), id=0)
    assert refused.value.param == "lora_name"


@declaring("adapters")
async def test_one_that_is_not_loaded_is_refused_by_name(subject: Subject) -> None:
    async with subject.running(adapters=subject.adapters()) as driver:
        with pytest.raises(XinferError, match=r"middle.*left, right") as refused:
            driver.pipeline.prepare(CompletionRequest(prompt=[1], adapter="middle"), id=0)
    assert refused.value.param == "lora_name"
