"""An abort ends its request once, at any stage, and frees its place."""

from __future__ import annotations

import pytest

from tests.conformance.company import answer
from tests.conformance.engines import engines
from tests.conformance.subject import Subject
from tests.support.token_engine import Answer, Driver
from xinfer.types.request import Sampling

pytestmark = pytest.mark.anyio

ENDLESS = Sampling(temperature=0.0, ignore_eos=True)
CONTEXT = 2048


@engines()
@pytest.mark.parametrize("length", [5, 2000])
async def test_before_it_began(subject: Subject, length: int) -> None:
    async with subject.running(slots=1, context=CONTEXT, step=32) as driver:
        number, doomed = driver.submit(subject.prompts([length])[0], 40, ENDLESS)
        await _abort(driver, number, doomed)
        assert doomed.finish == "abort"
        # A thread of the engine's may have been quicker, but not through a long prompt.
        assert len(doomed.ids) < (40 if length == 5 else 1)
        await _place_is_free(subject, driver)


@engines(lambda case: case.chooses and not case.whole_prompts)
async def test_while_its_prompt_is_computed(subject: Subject) -> None:
    short, long = subject.prompts([5, 1990])
    async with subject.running(slots=2, context=CONTEXT, step=32) as driver:
        running, neighbour = driver.submit(short, 2000, ENDLESS)
        await driver.within(neighbour.reaches(3))
        number, doomed = driver.submit(long, 40, ENDLESS)
        # Each token of the neighbour is a step, and the prompt takes more than sixty of them.
        await driver.within(neighbour.reaches(len(neighbour.ids) + 8))
        await _abort(driver, number, doomed)
        assert (doomed.ids, doomed.finish) == ([], "abort")
        assert neighbour.finish is None
        await _place_is_free(subject, driver)
        await _abort(driver, running, neighbour)


@engines()
@pytest.mark.parametrize("tokens", [1, 2, 30])
async def test_while_it_makes_tokens(subject: Subject, tokens: int) -> None:
    async with subject.running(slots=1, context=CONTEXT) as driver:
        prompt = subject.prompts([7])[0]
        number, doomed = driver.submit(prompt, 2000, ENDLESS)
        await driver.within(doomed.reaches(tokens))
        await _abort(driver, number, doomed)
        assert doomed.finish == "abort"
        assert tokens <= len(doomed.ids) < 2000
        await _place_is_free(subject, driver)


@engines()
async def test_twice_is_once(subject: Subject) -> None:
    async with subject.running(slots=1, context=CONTEXT) as driver:
        number, doomed = driver.submit(subject.prompts([7])[0], 2000, ENDLESS)
        await driver.wait(doomed.begun)
        driver.engine.abort(number)
        await _abort(driver, number, doomed)
        assert doomed.finish == "abort"
        await _place_is_free(subject, driver)


@engines()
async def test_of_what_has_ended_or_never_was_is_nothing(subject: Subject) -> None:
    async with subject.running(slots=1, context=CONTEXT) as driver:
        (work,) = subject.works([9])
        await answer(driver, work)
        for number in (0, 1, 12345, -1):
            driver.engine.abort(number)
        await _place_is_free(subject, driver)


@engines()
async def test_of_all_that_run_at_once(subject: Subject) -> None:
    async with subject.running(slots=4, context=CONTEXT) as driver:
        submitted = [
            driver.submit(prompt, 500, ENDLESS) for prompt in subject.prompts([3, 700, 40, 1500])
        ]
        await driver.wait(submitted[0][1].begun)
        for number, _ in submitted:
            driver.engine.abort(number)
        for _, doomed in submitted:
            await driver.wait(doomed.ended)
            assert doomed.finish == "abort"
        assert driver.engine.stats().running == 0
        await _place_is_free(subject, driver)


async def _abort(driver: Driver, number: int, doomed: Answer) -> None:
    driver.engine.abort(number)
    await driver.wait(doomed.ended)


async def _place_is_free(subject: Subject, driver: Driver) -> None:
    for work in subject.works([8, 90]):
        await answer(driver, work)
