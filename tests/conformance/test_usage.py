"""Counts and reasons are exact: what a client pays for, and why its answer ended."""

from __future__ import annotations

import pytest

from tests.conformance.company import answer, together
from tests.conformance.engines import engines
from tests.conformance.models import SCRIPT
from tests.conformance.subject import Subject
from xinfer.types.request import Sampling

pytestmark = pytest.mark.anyio

CONTEXT = 256


@engines(lambda case: case.chooses)
@pytest.mark.parametrize("length", range(1, len(SCRIPT) + 3))
async def test_max_tokens_is_exact_also_inside_a_character(subject: Subject, length: int) -> None:
    async with subject.running("script") as driver:
        got = await driver.ask(subject.script_prompt(driver), length)
        pieces = [driver.engine.tokenizer.piece(token) for token in got.ids]
    assert pieces == SCRIPT[:length]
    assert got.finish == ("length" if length <= len(SCRIPT) else "stop")
    assert got.failure is None


@engines()
async def test_an_end_that_is_ignored_takes_a_tokens_place(subject: Subject) -> None:
    async with subject.running("script") as driver:
        prompt = subject.script_prompt(driver)
        sampling = Sampling(temperature=0.0, ignore_eos=True)
        got = await driver.ask(prompt, 3 * len(prompt), sampling)
    assert (len(got.ids), got.finish) == (3 * len(prompt), "length")


@engines()
@pytest.mark.parametrize(("length", "tokens"), [(1, 255), (128, 128), (240, 16), (255, 1)])
async def test_prompt_and_answer_fill_the_context_to_the_last_token(
    subject: Subject, length: int, tokens: int
) -> None:
    reference = subject.reference()
    async with subject.running(context=CONTEXT, slots=2) as driver:
        assert driver.loaded.context_length == CONTEXT
        prompts = subject.prompts([length, length])
        got = [await driver.ask(prompt, tokens, _ON) for prompt in prompts]
    for prompt, one in zip(prompts, got, strict=True):
        assert (len(one.ids), one.finish) == (tokens, "length")
        if subject.case.chooses:
            last = [*prompt, *one.ids[:-1]]
            scores = reference.logits(last)
            assert scores.max() - scores[one.ids[-1]] < 1e-3


@engines()
async def test_a_full_context_beside_others(subject: Subject) -> None:
    works = subject.works([255 - 16, 3, 200, 255 - 16])
    async with subject.running(context=CONTEXT, slots=4) as driver:
        for _ in range(2):
            await together(driver, works)


@engines(lambda case: not case.shared)
async def test_stats_are_the_sum_of_what_was_done(subject: Subject) -> None:
    works = subject.works([1, 20, 70])
    async with subject.running(slots=2) as driver:
        assert driver.engine.stats().running == 0
        got = [await answer(driver, work) for work in works for _ in range(2)]
        stats = driver.engine.stats()
    assert stats.running == 0
    assert stats.waiting == 0
    assert stats.prompt_tokens == sum(len(one.request.prompt) for one in got)
    assert stats.completion_tokens == sum(len(one.ids) for one in got)
    assert stats.cached_tokens == sum(one.cached_tokens for one in got)
    assert subject.case.reuses == (stats.cached_tokens > 0)


@engines()
async def test_what_runs_is_counted_until_it_ends(subject: Subject) -> None:
    async with subject.running(slots=3) as driver:
        running = [driver.submit(prompt, 400, _ON) for prompt in subject.prompts([5, 9, 30])]
        for _, one in running:
            await driver.wait(one.begun)
        for left in (2, 1, 0):
            number, one = running[left]
            driver.engine.abort(number)
            await driver.wait(one.ended)
            assert driver.engine.stats().running == left


_ON = Sampling(temperature=0.0, ignore_eos=True)
