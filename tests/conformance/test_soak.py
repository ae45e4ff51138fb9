"""Many requests of all kinds, a third of them aborted at any moment: nothing is lost or left."""

from __future__ import annotations

import asyncio
import gc
import random
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest

from tests.conformance.engines import engines
from tests.conformance.subject import TOKENS, Subject, Work
from tests.support.token_engine import GREEDY, Answer, Driver
from xinfer.types.request import Constraint, Sampling

pytestmark = pytest.mark.anyio

CLIENTS = 9
"""More than the slots."""
GRAMMAR = Constraint("grammar", 'root ::= [a-z]{2,9} ("," [a-z]{2,9})*')


@dataclass(frozen=True)
class Job:
    """A request, and when it is to be aborted: at once, or having made so many tokens."""

    prompt: list[int]
    max_tokens: int
    sampling: Sampling
    expected: list[int] | None
    """Where it is known, all that may come."""
    abort: int | None
    fields: dict[str, Any] = field(default_factory=dict)


@engines()
@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.slow)])
async def test_every_request_ends_once_and_memory_stays(subject: Subject, count: int) -> None:
    chance = random.Random(count)
    small = {"cells": 768} if subject.case.bounded else {}
    async with subject.running(slots=6, step=64, **small) as driver:
        works = _works(subject)
        penalties = subject.case.resumes_penalties
        jobs = [_job(chance.choice(works), driver, chance, penalties) for _ in range(count)]
        await _run(driver, jobs[: count // 5])
        before = _memory()
        await _run(driver, jobs[count // 5 :])
        after = _memory()
        stats = driver.engine.stats()
    assert len(driver.answers) == count
    assert all(answer.ended.is_set() for answer in driver.answers.values())
    assert (stats.running, stats.waiting) == (0, 0)
    assert after < 1.05 * before, f"{before >> 20} MiB became {after >> 20}"


def _job(work: Work, driver: Driver, chance: random.Random, resumes_penalties: bool) -> Job:
    abort = chance.choice([None, None, chance.choice([0, 0, 1, 2, 5, 11])])
    kind = chance.choice(["greedy", "sampled", "odd"])
    if kind == "greedy":
        return Job(work.prompt, TOKENS, GREEDY, work.expected.ids, abort)
    sampling = Sampling(
        temperature=chance.choice([0.5, 1.0, 2.0]),
        seed=chance.choice([None, 1, 2]),
        top_p=chance.choice([None, 0.9]),
        top_k=chance.choice([None, 40]),
        frequency_penalty=chance.choice([None, 1.0]),
        logprobs=chance.choice([None, 2]) if driver.loaded.abilities.logprobs else None,
    )
    fields: dict[str, Any] = {}
    if kind == "odd":
        resumable = resumes_penalties or not sampling.frequency_penalty
        if resumable and chance.random() < 0.5:
            fields["resume"] = work.expected.ids[: chance.randrange(TOKENS)]
        elif driver.loaded.abilities.constraint:
            fields["constraint"] = GRAMMAR
    tokens = chance.choice([TOKENS, 40, 100])
    return Job(work.prompt, tokens, sampling, None, abort, fields)


def _works(subject: Subject) -> list[Work]:
    (prefix,) = subject.prompts([90], seed=60)
    lengths = [1, 9, 40, 120]
    return subject.works([*lengths, 300], seed=61) + subject.works(lengths, seed=62, prefix=prefix)


async def _run(driver: Driver, jobs: list[Job]) -> None:
    waiting = iter(jobs)
    await asyncio.gather(*(_client(driver, waiting) for _ in range(CLIENTS)))


async def _client(driver: Driver, waiting: Any) -> None:
    for job in waiting:
        async with driver.slots:
            number, answer = driver.submit(job.prompt, job.max_tokens, job.sampling, **job.fields)
            if job.abort is not None:
                await driver.within(answer.reaches(job.abort))
                driver.engine.abort(number)
            await driver.wait(answer.ended)
        _check(job, answer)


def _check(job: Job, answer: Answer) -> None:
    assert answer.finish != "error", answer.failure
    if job.abort is None:
        assert answer.finish in ("stop", "length")
    if job.expected is not None:
        assert answer.ids == job.expected[: len(answer.ids)]
        assert answer.finish == "abort" or len(answer.ids) == len(job.expected)


def _memory() -> int:
    gc.collect()
    return psutil.Process().memory_info().rss
