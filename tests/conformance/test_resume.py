"""An output that another process began goes on as if it had never stopped."""

from __future__ import annotations

import asyncio

import pytest

from tests.conformance.engines import declaring, engines
from tests.conformance.models import SCRIPT
from tests.conformance.subject import Subject
from tests.support.token_engine import GREEDY
from xinfer.types.request import Sampling

pytestmark = pytest.mark.anyio

LENGTH = 60
POSITIONS = (1, 2, 17, 33, LENGTH - 1)
REPEATS = Sampling(temperature=0.0, repetition_penalty=1.2)
PENALISED = Sampling(temperature=0.0, frequency_penalty=1.5, repetition_penalty=1.2)
# Without Mirostat: it goes by how surprising all tokens before were.
SAMPLED = [
    Sampling(temperature=1.0, seed=5),
    Sampling(temperature=1.4, seed=6, top_k=50, top_p=0.95, min_p=0.01),
    Sampling(temperature=1.0, seed=7, frequency_penalty=1.0, repetition_penalty=1.2),
    Sampling(temperature=1.0, seed=-8, presence_penalty=1.5, repeat_last_n=20),
    Sampling(temperature=1.0, seed=11, dry_multiplier=2.0, dry_allowed_length=1),
    Sampling(temperature=1.0, seed=12, xtc_probability=0.5, xtc_threshold=0.05),
    Sampling(temperature=1.0, seed=1 << 40, typical_p=0.7, top_n_sigma=2.0),
]


@declaring("resume")
@pytest.mark.parametrize(
    "sampling", [GREEDY, REPEATS, PENALISED], ids=["plain", "repetition", "penalties"]
)
async def test_greedy(subject: Subject, sampling: Sampling) -> None:
    if sampling is PENALISED and not subject.case.resumes_penalties:
        async with subject.running() as driver:
            got = await driver.ask([1, 2], 3, sampling, resume=[1])
        assert (got.ids, got.finish) == ([], "error")
        assert got.failure is not None
        assert "frequency_penalty" in got.failure.message
        return
    for prompt in subject.prompts([80, 4]):
        async with subject.running() as driver:
            whole = (await driver.ask(prompt, LENGTH, sampling)).ids
        # Another process resumes: nothing of the first part is in its cache.
        async with subject.running() as driver:
            for position in POSITIONS:
                rest = await driver.ask(prompt, LENGTH, sampling, resume=whole[:position])
                assert whole[:position] + rest.ids == whole
            several = [
                driver.ask(prompt, LENGTH, sampling, resume=whole[:position])
                for position in POSITIONS
            ]
            for position, rest in zip(POSITIONS, await asyncio.gather(*several), strict=True):
                assert whole[:position] + rest.ids == whole


@engines(lambda case: case.resumes_samples)
@pytest.mark.parametrize("sampling", SAMPLED, ids=lambda sampling: f"seed{sampling.seed}")
async def test_sampled_with_a_seed(subject: Subject, sampling: Sampling) -> None:
    (prompt,) = subject.prompts([40])
    async with subject.running() as driver:
        whole = (await driver.ask(prompt, LENGTH, sampling)).ids
    async with subject.running() as driver:
        for position in POSITIONS:
            rest = await driver.ask(prompt, LENGTH, sampling, resume=whole[:position])
            assert whole[:position] + rest.ids == whole


@declaring("resume")
async def test_sampled_goes_on_to_the_same_length(subject: Subject) -> None:
    sampling = Sampling(temperature=1.0, seed=3, ignore_eos=True)
    (prompt,) = subject.prompts([40])
    async with subject.running() as driver:
        whole = (await driver.ask(prompt, LENGTH, sampling)).ids
        for position in POSITIONS:
            rest = await driver.ask(prompt, LENGTH, sampling, resume=whole[:position])
            assert (len(rest.ids), rest.finish) == (LENGTH - position, "length")
            assert rest.cached_tokens <= len(prompt)


@declaring("resume")
async def test_a_finished_output_ends_at_once(subject: Subject) -> None:
    (prompt,) = subject.prompts([20])
    async with subject.running(slots=1) as driver:
        got = await driver.ask(prompt, 3, resume=[1, 2, 3])
        assert (got.ids, got.finish) == ([], "length")
        assert (await driver.ask(prompt, 3)).finish == "length"


@declaring("resume")
async def test_a_text_that_lacks_only_its_end_ends(subject: Subject) -> None:
    async with subject.running("script") as driver:
        prompt = subject.script_prompt(driver)
        whole = (await driver.ask(prompt, 100)).ids
        got = await driver.ask(prompt, 100, resume=whole)
        assert (got.ids, got.finish) == ([], "stop")
        # The first byte of a character was delivered, and the rest comes.
        for position in range(1, len(SCRIPT)):
            got = await driver.ask(prompt, 100, resume=whole[:position])
            assert (whole[:position] + got.ids, got.finish) == (whole, "stop")


@declaring("resume")
async def test_to_the_last_token_of_the_context(subject: Subject) -> None:
    sampling = Sampling(temperature=0.0, ignore_eos=True)
    (prompt,) = subject.prompts([200])
    async with subject.running(context=256) as driver:
        whole = (await driver.ask(prompt, 56, sampling)).ids
        rest = await driver.ask(prompt, 56, sampling, resume=whole[:55])
    assert rest.ids == whole[55:]
