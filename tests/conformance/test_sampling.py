"""Every sampling field is either honoured, which can be seen, or refused by its name."""

from __future__ import annotations

import asyncio

import pytest

from tests.conformance.company import together
from tests.conformance.effects import EFFECTS
from tests.conformance.engines import engines
from tests.conformance.subject import Subject
from xinfer.errors import InvalidRequest
from xinfer.types.request import CompletionRequest, Sampling

pytestmark = pytest.mark.anyio

FIELDS = sorted(set(Sampling.__struct_fields__) - {"max_tokens", "logprobs"})


def test_every_field_is_looked_at() -> None:
    assert sorted(EFFECTS) == FIELDS


@engines()
@pytest.mark.parametrize("field", FIELDS)
async def test_a_field_is_honoured_or_refused(subject: Subject, field: str) -> None:
    effect = EFFECTS[field]
    async with subject.running(slots=4) as driver:
        if field not in driver.loaded.abilities.sampling:
            asked = {field: effect.value, **effect.beside}
            request = CompletionRequest(prompt=[1, 2, 3], sampling=Sampling(**asked))
            with pytest.raises(InvalidRequest) as refused:
                driver.pipeline.prepare(request, id=0)
            assert refused.value.param in set(asked) - driver.loaded.abilities.sampling
            assert refused.value.param in refused.value.message
        elif subject.case.chooses:
            await effect.seen(driver, subject)


@engines(lambda case: case.chooses)
@pytest.mark.parametrize(
    "sampling",
    [{"top_k": 1}, {"min_p": 1.0}, {"top_p": 1e-6}, {"temperature": 0.0, "seed": 5}],
    ids=lambda sampling: next(iter(sampling)),
)
async def test_where_one_choice_is_left_it_is_the_best(
    subject: Subject, sampling: dict[str, float]
) -> None:
    async with subject.running() as driver:
        hot = Sampling(**{"temperature": 3.0, **sampling})
        await together(driver, subject.works(), sampling=hot)


@engines(lambda case: not case.chooses)
@pytest.mark.parametrize("field", sorted(set(FIELDS) - {"ignore_eos"}))
async def test_nothing_changes_where_there_is_no_choice(subject: Subject, field: str) -> None:
    (prompt,) = subject.prompts([30])
    async with subject.running() as driver:
        got = await driver.ask(prompt, 100, Sampling(**{field: EFFECTS[field].value}))
    assert (got.ids, got.finish) == (prompt, "stop")


@engines(lambda case: case.chooses)
async def test_all_at_once(subject: Subject) -> None:
    async with subject.running(slots=4) as driver:
        declared = driver.loaded.abilities.sampling
        values = {field: effect.value for field, effect in EFFECTS.items() if field in declared}
        sampling = Sampling(**{**values, "temperature": 0.8, "logit_bias": {65: -1.0}})
        prompts = subject.prompts([4, 60, 9])
        alone = [await driver.ask(prompt, 30, sampling) for prompt in prompts]
        crowd = await asyncio.gather(*(driver.ask(prompt, 30, sampling) for prompt in prompts))
    assert [got.finish for got in alone] == ["length"] * 3
    assert [got.ids for got in crowd] == [got.ids for got in alone]
