"""A request's answer is the same alone and in any company."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.conformance.company import answer, meanwhile, together
from tests.conformance.engines import engines
from tests.conformance.subject import Subject
from xinfer.types.request import Sampling

pytestmark = pytest.mark.anyio

WILD = Sampling(temperature=1.0, seed=7)
ENDLESS = Sampling(temperature=0.0, ignore_eos=True)


@engines()
@pytest.mark.parametrize("slots", [1, 2, 5, 16])
async def test_long_and_short_prompts_together(subject: Subject, slots: int) -> None:
    async with subject.running(slots=slots) as driver:
        await together(driver, subject.works())


@engines()
async def test_prompts_that_come_while_others_are_answered(subject: Subject) -> None:
    works = subject.works()
    async with subject.running(slots=len(works)) as driver, AsyncExitStack() as running:
        for number, work in enumerate(works):
            await running.enter_async_context(meanwhile(answer(driver, work)))
            await driver.wait(driver.answers[number].begun)


@engines()
async def test_short_answers_beside_one_that_never_seems_to_end(subject: Subject) -> None:
    async with subject.running(slots=3) as driver:
        prompt = subject.prompts([9])[0]
        number, endless = driver.submit(prompt, 500, ENDLESS)
        await driver.wait(endless.begun)
        for work in subject.works():
            await answer(driver, work)
        driver.engine.abort(number)
        await driver.wait(endless.ended)


@engines(lambda case: case.chooses)
@pytest.mark.parametrize("step", [32, 64])
async def test_prompts_that_take_several_steps(subject: Subject, step: int) -> None:
    async with subject.running(slots=6, step=step) as driver:
        await together(driver, subject.works([300, 1, 31, 32, 33, 63, 64, 65, 299]))


@engines()
async def test_more_prompts_than_slots_again_and_again(subject: Subject) -> None:
    works = subject.works([30, 60, 5, 90, 44, 200, 7])
    async with subject.running(slots=2) as driver:
        for start in range(len(works)):
            await together(driver, works[start:] + works[:start])


@engines(lambda case: case.bounded)
@pytest.mark.parametrize("cells", [256, 512])
async def test_a_cache_too_small_for_all_at_once(subject: Subject, cells: int) -> None:
    lengths = [100, 60, 90, 20, 70, 30, 110, 64]
    works = subject.works(lengths, max_tokens=48)
    async with subject.running(slots=8, context=256, cells=cells) as driver:
        await together(driver, works)
        await together(driver, reversed(works))
        assert driver.engine.stats().running == 0


@engines(lambda case: case.bounded)
async def test_a_full_cache_does_not_change_samples(subject: Subject) -> None:
    prompts = subject.prompts([100, 60, 90, 20])
    async with subject.running(slots=4, context=256) as driver:
        alone = [(await driver.ask(prompt, 100, WILD)).ids for prompt in prompts]
    async with subject.running(slots=4, context=256, cells=256) as driver:
        crowd = await asyncio.gather(*(driver.ask(prompt, 100, WILD) for prompt in prompts))
    assert [got.ids for got in crowd] == alone


@engines()
async def test_samples_with_a_seed(subject: Subject) -> None:
    samplings = [
        WILD,
        Sampling(temperature=0.7, seed=1, top_k=40),
        Sampling(temperature=1.3, seed=2, top_p=0.9),
        Sampling(temperature=1.0, seed=3, frequency_penalty=1.0, presence_penalty=1.0),
        Sampling(temperature=1.0, seed=4, repetition_penalty=1.3, min_p=0.02),
    ]
    requests = list(zip(subject.prompts(), samplings * 2, strict=True))
    async with subject.running(slots=len(requests)) as driver:
        assert "seed" in driver.loaded.abilities.sampling
        alone = [(await driver.ask(prompt, 40, sampling)).ids for prompt, sampling in requests]
        crowd = await asyncio.gather(
            *(driver.ask(prompt, 40, sampling) for prompt, sampling in reversed(requests))
        )
    assert [got.ids for got in reversed(crowd)] == alone


@engines()
async def test_each_request_is_sampled_in_its_own_way(subject: Subject) -> None:
    works = subject.works()
    neighbours = [
        Sampling(temperature=5.0),
        Sampling(temperature=0.0, logit_bias={65: 100.0}),
        Sampling(temperature=0.0, presence_penalty=100.0, frequency_penalty=100.0),
        Sampling(temperature=2.0, seed=1, ignore_eos=True),
    ]
    async with subject.running(slots=8) as driver:
        prompts = subject.prompts([3, 70, 20, 9] * 4, seed=5)
        crowd = (
            driver.ask(prompt, 30, neighbours[number % len(neighbours)])
            for number, prompt in enumerate(prompts)
        )
        async with meanwhile(*crowd):
            await together(driver, works)


@engines()
async def test_neighbours_that_are_aborted_at_every_stage(subject: Subject) -> None:
    works = subject.works([20, 150, 7, 64])
    async with subject.running(slots=8, context=1024) as driver:
        async with meanwhile(*(answer(driver, work) for work in works)):
            for tokens, prompt in enumerate(subject.prompts([900, 10, 300, 40, 500, 3], seed=6)):
                number, doomed = driver.submit(prompt, 100, ENDLESS)
                await driver.within(doomed.reaches(tokens))
                driver.engine.abort(number)
                await driver.wait(doomed.ended)
        await together(driver, works)
