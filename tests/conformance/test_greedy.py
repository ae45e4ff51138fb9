"""Greedy decoding: the model's most likely tokens, as a full recompute finds them."""

from __future__ import annotations

import asyncio

import pytest

from tests.conformance.engines import engines
from tests.conformance.subject import TOKENS, Subject
from tests.conformance.tiny_chat import certain_questions
from tests.support.token_engine import Driver

pytestmark = pytest.mark.anyio

COMPUTED_AGAIN = (
    "hello",
    "hello-system",
    "size",
    "start",
    "openai",
    "capital-think",
    "follow-up",
    "zh-hello",
    "zh-context-think",
    "p-port",
    "t-add",
    "t-zh-weather",
)
"""Of every kind: short and long, with a system message, thinking, tools, both languages."""

CLOSE = 1e-3
"""Logits nearer than this may change places when they are added up in another order."""


@engines(lambda case: case.chooses)
async def test_tiny_chat_says_what_a_full_recompute_says(subject: Subject) -> None:
    questions = [q for q in certain_questions() if q.id in COMPUTED_AGAIN]
    assert len(questions) == len(COMPUTED_AGAIN)
    reference = subject.reference("tiny-chat")
    async with subject.running("tiny-chat", context=2048, exact=False) as driver:
        for question in questions:
            request = driver.pipeline.prepare(question.request, id=0).token_request
            expected = reference.greedy(request.prompt, request.max_tokens)
            answer = await driver.ask(request.prompt, request.max_tokens)
            assert (answer.ids, answer.finish) == (expected.ids, expected.finish), question.id


@engines(lambda case: case.chooses)
@pytest.mark.parametrize("slots", [1, 4])
async def test_tiny_chat_gives_every_certain_answer(subject: Subject, slots: int) -> None:
    questions = certain_questions()
    async with subject.running("tiny-chat", context=2048, slots=slots, exact=False) as driver:
        texts = await asyncio.gather(*(driver.complete(q.request) for q in questions))
    assert {q.id: q.answer for q in questions} == {
        q.id: text.text for q, text in zip(questions, texts, strict=True)
    }
    assert {text.finish for text in texts} == {"stop"}


@engines()
@pytest.mark.parametrize("together", [False, True])
async def test_noise_differs_from_a_full_recompute_only_where_two_tokens_tie(
    subject: Subject, together: bool
) -> None:
    prompts = subject.prompts(range(1, 101))
    async with subject.running() as driver:
        if together:
            answers = await asyncio.gather(*(_say(driver, prompt) for prompt in prompts))
        else:
            answers = [await _say(driver, prompt) for prompt in prompts]
    reference = subject.reference()
    differing = 0
    for prompt, ids in zip(prompts, answers, strict=True):
        expected = reference.greedy(prompt, TOKENS).ids
        if ids == expected:
            continue
        differing += 1
        same = next(
            i for i, pair in enumerate(zip(ids, expected, strict=True)) if len(set(pair)) > 1
        )
        scores = reference.logits([*prompt, *expected[:same]])
        assert scores[expected[same]] - scores[ids[same]] < CLOSE
    assert differing <= 2


@engines()
async def test_an_answer_repeats_itself(subject: Subject) -> None:
    (work,) = subject.works([40])
    async with subject.running() as driver:
        answers = [await driver.ask(work.prompt, work.max_tokens) for _ in range(3)]
    assert [answer.ids for answer in answers] == [work.expected.ids] * 3


async def _say(driver: Driver, prompt: list[int]) -> list[int]:
    return (await driver.ask(prompt, TOKENS)).ids
