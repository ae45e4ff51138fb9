"""Prompts that share their beginning: the text is that of a full recompute, whatever is reused."""

from __future__ import annotations

import pytest

from tests.conformance.company import answer, meanwhile, together
from tests.conformance.engines import engines
from tests.conformance.subject import DECIDED, TOKENS, Subject, Work
from tests.support.token_engine import GREEDY
from xinfer.types.request import Sampling

pytestmark = pytest.mark.anyio


WORTHWHILE = 40
"""Tokens from which every engine is expected to reuse what it has; fewer are its own affair."""


@engines()
@pytest.mark.parametrize("slots", [1, 3])
async def test_a_prompt_again(subject: Subject, slots: int) -> None:
    works = subject.works([1, 2, 40, 200])
    async with subject.running(slots=slots) as driver:
        for work in works:
            first = await answer(driver, work)
            second = await answer(driver, work)
            # At least one token is computed anew, for what follows it.
            assert max(first.cached_tokens, second.cached_tokens) < len(work.prompt)
            if subject.case.reuses and len(work.prompt) >= WORTHWHILE:
                assert second.cached_tokens > 0


@engines()
@pytest.mark.parametrize("slots", [1, 2, 6])
async def test_prompts_with_one_beginning(subject: Subject, slots: int) -> None:
    (prefix,) = subject.prompts([300], seed=11)
    works = subject.works([1, 5, 40, 90, 17, 3], seed=12, prefix=prefix)
    async with subject.running(slots=slots) as driver:
        first = await answer(driver, works[0])
        assert first.cached_tokens == 0
        second = await answer(driver, works[1])
        if subject.case.reuses:
            assert 0 < second.cached_tokens <= len(prefix)
        await together(driver, works)
        await together(driver, reversed(works))


@engines()
async def test_prompts_with_one_beginning_from_the_very_first(subject: Subject) -> None:
    (prefix,) = subject.prompts([150], seed=13)
    works = subject.works([2, 30, 8, 70, 1], seed=14, prefix=prefix)
    async with subject.running(slots=5) as driver:
        await together(driver, works)


@engines()
async def test_a_beginning_that_is_shared_while_its_first_user_runs(subject: Subject) -> None:
    (prefix,) = subject.prompts([150], seed=15)
    (first,) = subject.works([4], seed=16, prefix=prefix, max_tokens=30)
    others = subject.works([60, 1, 20], seed=17, prefix=prefix)
    async with subject.running(slots=4) as driver, meanwhile(answer(driver, first)):
        await driver.within(driver.answers[0].reaches(5))
        await together(driver, others)


@engines()
async def test_a_prompt_that_is_the_beginning_of_an_earlier_one(subject: Subject) -> None:
    (long,) = subject.works([120], seed=17)
    shorter = [_work(subject, long.prompt[:length]) for length in (119, 64, 2, 1)]
    async with subject.running(slots=2) as driver:
        await answer(driver, long)
        for work in [*shorter, long, *reversed(shorter)]:
            await answer(driver, work)


@engines()
async def test_a_conversation_of_many_turns(subject: Subject) -> None:
    async with subject.running(slots=2) as driver:
        history: list[int] = []
        for turn in range(6):
            (work,) = subject.works([11], seed=30 + turn, prefix=history)
            got = await answer(driver, work)
            if subject.case.reuses and len(history) >= WORTHWHILE:
                assert got.cached_tokens > 0
            history = [*work.prompt, *got.ids]


@engines()
async def test_a_prompt_that_goes_on_otherwise_than_the_answer_did(subject: Subject) -> None:
    (work,) = subject.works([50], seed=18)
    ids = work.expected.ids
    others = [
        _work(subject, [*work.prompt, *ids[:kept], (ids[kept] + 1) % 256])
        for kept in (0, 1, len(ids) - 1)
    ]
    async with subject.running(slots=2) as driver:
        await answer(driver, work)
        await together(driver, [*others, work])


@engines(lambda case: case.reuses)
async def test_what_an_aborted_request_left_is_no_trap(subject: Subject) -> None:
    (prefix,) = subject.prompts([150], seed=19)
    works = subject.works([1, 30, 7], seed=20, prefix=prefix)
    async with subject.running(slots=2, step=32) as driver:
        for tokens in (0, 1, 9):
            number, doomed = driver.submit([*prefix, 65, 66, tokens], 100, GREEDY)
            await driver.within(doomed.reaches(tokens))
            driver.engine.abort(number)
            await driver.wait(doomed.ended)
            await together(driver, works)


@engines(lambda case: case.reuses)
async def test_sampled_answers_leave_nothing_wrong_behind(subject: Subject) -> None:
    (prefix,) = subject.prompts([100], seed=21)
    works = subject.works([1, 30, 7], seed=22, prefix=prefix)
    async with subject.running(slots=2) as driver:
        for seed, work in enumerate(works):
            await driver.ask(work.prompt, 30, Sampling(temperature=2.0, seed=seed))
            await together(driver, works)


@engines()
async def test_prompts_with_two_beginnings(subject: Subject) -> None:
    works = _two_families(subject)
    async with subject.running(slots=len(works)) as driver:
        for first_of_its_kind in works[:2]:
            await answer(driver, first_of_its_kind)
        await together(driver, works)
        await together(driver, reversed(works))


@engines(lambda case: case.bounded)
async def test_two_beginnings_in_a_cache_that_is_full(subject: Subject) -> None:
    works = _two_families(subject, max_tokens=40)
    async with subject.running(slots=6, context=256, cells=256) as driver:
        for _ in range(2):
            await together(driver, works)


def _two_families(subject: Subject, **fields: int) -> list[Work]:
    """Prompts that begin in one way and in another, by turns."""
    lengths = [5, 80, 30, 60]
    one, other = (
        subject.works(lengths, seed=seed, prefix=prefix, **fields)
        for seed, prefix in enumerate(subject.prompts([100, 100], seed=23), start=24)
    )
    return [work for pair in zip(one, other, strict=True) for work in pair]


def _work(subject: Subject, prompt: list[int]) -> Work:
    """A prompt that is given, with as much of its answer as is decided."""
    expected = subject.reference().greedy(prompt, TOKENS, DECIDED)
    if expected.lead >= DECIDED:
        return Work(prompt, expected)
    decided = len(expected.ids) - 1
    assert decided > 0, "not even the first token is decided"
    return Work(prompt, subject.reference().greedy(prompt, decided), decided)
