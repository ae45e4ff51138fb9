"""Log-probabilities are the model's own, before any sampler, whatever else the request asks."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from tests.conformance.engines import declaring, lacking
from tests.conformance.subject import Subject
from tests.support.recompute import log_softmax
from tests.support.token_engine import Answer
from xinfer.errors import InvalidRequest
from xinfer.types.request import CompletionRequest, Sampling

pytestmark = pytest.mark.anyio

EXACT = 1e-3

SAMPLINGS = [
    Sampling(temperature=0.0, logprobs=5),
    Sampling(temperature=0.0, logprobs=0),
    Sampling(temperature=1.5, seed=1, logprobs=1),
    Sampling(temperature=0.7, seed=2, top_k=5, top_p=0.9, logprobs=20),
    Sampling(temperature=0.0, presence_penalty=50.0, logit_bias={300: 60.0}, logprobs=3),
    Sampling(temperature=3.0, seed=3),
]


@declaring("logprobs")
@pytest.mark.parametrize("step", [None, 32])
async def test_they_are_those_of_a_full_recompute(subject: Subject, step: int | None) -> None:
    (prefix,) = subject.prompts([60], seed=40)
    rests = subject.prompts([1, 40, 7, 3, 90, 150], seed=41)
    async with subject.running(slots=6, step=step) as driver:
        for _ in range(2):  # at first computed, then from what was kept
            answers = await asyncio.gather(
                *(
                    driver.ask([*prefix, *rest], 12, sampling)
                    for rest, sampling in zip(rests, SAMPLINGS, strict=True)
                )
            )
            for answer in answers:
                _check(subject, answer)


@declaring("logprobs", "resume")
async def test_they_go_on_with_a_resumed_output(subject: Subject) -> None:
    sampling = Sampling(temperature=0.0, logprobs=2)
    (prompt,) = subject.prompts([30], seed=42)
    async with subject.running() as driver:
        whole = await driver.ask(prompt, 12, sampling)
        rest = await driver.ask(prompt, 12, sampling, resume=whole.ids[:5])
    assert len(rest.logprobs) == len(rest.ids)
    _check(subject, rest)


@declaring("logprobs")
async def test_more_alternatives_than_tokens_are_all_tokens(subject: Subject) -> None:
    async with subject.running() as driver:
        size = driver.engine.tokenizer.vocabulary_size
        sampling = Sampling(temperature=0.0, logprobs=size + 10)
        answer = await driver.ask([1, 2, 3], 2, sampling)
    if subject.case.chooses:
        assert [len(one.top) for one in answer.logprobs] == [size, size]


@lacking("logprobs")
async def test_an_engine_without_them_refuses_to_be_asked(subject: Subject) -> None:
    async with subject.running() as driver:
        for count in (0, 5):
            request = CompletionRequest(prompt=[1], sampling=Sampling(logprobs=count))
            with pytest.raises(InvalidRequest) as refused:
                driver.pipeline.prepare(request, id=0)
            assert refused.value.param == "logprobs"


def _check(subject: Subject, answer: Answer) -> None:
    """Holds an answer's log-probabilities against the truth."""
    request = answer.request
    wanted = request.sampling.logprobs
    if wanted is None:
        assert answer.logprobs == []
        return
    assert answer.ids
    before = [*request.prompt, *request.resume]
    for position, (token, given) in enumerate(zip(answer.ids, answer.logprobs, strict=True)):
        tops = [value for _, value in given.top]
        assert np.isfinite([given.logprob, *tops]).all()
        assert tops == sorted(tops, reverse=True)
        assert len({top for top, _ in given.top}) == len(given.top)
        if not subject.case.chooses:
            continue
        truth = log_softmax(subject.reference().logits([*before, *answer.ids[:position]]))
        assert len(given.top) == wanted
        assert abs(given.logprob - truth[token]) < EXACT
        assert all(abs(value - truth[top]) < EXACT for top, value in given.top)
        if wanted:
            best = np.sort(truth)[-wanted:]
            assert abs(tops[-1] - best[0]) < EXACT, "a likelier token is missing"
