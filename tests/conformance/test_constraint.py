"""Output under a grammar is of its language; one that is no grammar harms only its request."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from tests.conformance.company import together
from tests.conformance.engines import declaring, engines, lacking
from tests.conformance.subject import Subject
from tests.support.token_engine import Answer, Driver
from xinfer.errors import InvalidRequest
from xinfer.types.request import CompletionRequest, Constraint, Sampling

pytestmark = pytest.mark.anyio

GRAMMARS = {
    "choice": ('root ::= "yes" | "no" | "perhaps"', r"yes|no|perhaps"),
    "list": (
        'root ::= n ("," n){2,5}\nn ::= [1-9] [0-9]{0,3}',
        r"([1-9]\d{0,3})(,[1-9]\d{0,3}){2,5}",
    ),
    "characters": ('root ::= "你" [好们吗] ("🎉" | "é") "!"{1,3}', r"你[好们吗](🎉|é)!{1,3}"),
    "words": ('root ::= [a-z]{3,20} (" " [a-z]{3,20}){1,3}', r"[a-z]{3,20}( [a-z]{3,20}){1,3}"),
    "nothing": ("root ::= ", ""),
}
OBJECT = """
root ::= "{" ws "\\"name\\":" ws string "," ws "\\"size\\":" ws [0-9]{1,5} "}"
string ::= "\\"" [a-z]{1,12} "\\""
ws ::= " "?
"""
INVALID = [
    'root ::= "open',
    "root ::= missing",
    'other ::= "a"',
    "root ::= [a-",
    "no grammar at all",
    "",
]
WAYS = [
    Sampling(temperature=0.0),
    Sampling(temperature=1.0, seed=1),
    Sampling(temperature=3.0, seed=2, top_k=50),
    Sampling(temperature=1.0, seed=3, presence_penalty=1.0, top_p=0.9, min_p=0.01),
]


@declaring("grammar")
@pytest.mark.parametrize("name", GRAMMARS)
async def test_the_output_is_of_the_grammars_language(subject: Subject, name: str) -> None:
    source, pattern = GRAMMARS[name]
    async with subject.running(slots=4) as driver:
        answers = await asyncio.gather(
            *(
                driver.ask(prompt, 120, sampling, constraint=Constraint("grammar", source))
                for prompt in subject.prompts([5, 60])
                for sampling in WAYS
            )
        )
        for answer in answers:
            assert re.fullmatch(pattern, _text(driver, answer)), _text(driver, answer)
            assert (answer.finish, answer.failure) == ("stop", None)


@declaring("grammar")
async def test_an_object_can_be_read(subject: Subject) -> None:
    constraint = Constraint("grammar", OBJECT)
    async with subject.running() as driver:
        for sampling in WAYS:
            text = _text(driver, await driver.ask([7], 200, sampling, constraint=constraint))
            value = json.loads(text)
            assert set(value) == {"name", "size"}


@declaring("grammar")
async def test_a_grammar_that_cannot_end_goes_on_to_the_limit(subject: Subject) -> None:
    constraint = Constraint("grammar", "root ::= [a-f] root")
    async with subject.running() as driver:
        answer = await driver.ask([7], 30, constraint=constraint)
        assert re.fullmatch("[a-f]{30,}", _text(driver, answer))
    assert answer.finish == "length"


@declaring("grammar")
async def test_neighbours_are_free(subject: Subject) -> None:
    works = subject.works([5, 150, 40])
    constraint = Constraint("grammar", GRAMMARS["words"][0])
    async with subject.running(slots=6) as driver:
        *bound, _ = await asyncio.gather(
            *(driver.ask(work.prompt, 60, constraint=constraint) for work in works),
            together(driver, works),
        )
        texts = [_text(driver, answer) for answer in bound]
        # What the bound ones left behind is no trap either.
        await together(driver, works)
    assert all(re.fullmatch("[a-z ]+", text) for text in texts)


@declaring("grammar")
@pytest.mark.parametrize("source", INVALID)
async def test_what_is_no_grammar_ends_its_request_alone(subject: Subject, source: str) -> None:
    works = subject.works([5, 40])
    async with subject.running(slots=4) as driver:
        answer, _ = await asyncio.gather(
            driver.ask([7], 10, constraint=Constraint("grammar", source)),
            together(driver, works),
        )
        assert (answer.ids, answer.finish) == ([], "error")
        assert answer.failure is not None
        assert answer.failure.kind == "InvalidRequest"
        assert "grammar" in answer.failure.message
        await together(driver, works)
        assert driver.engine.stats().running == 0


@engines(lambda case: case.resumes_constraints)
@pytest.mark.parametrize("name", GRAMMARS)
async def test_it_holds_on_where_the_output_is_resumed(subject: Subject, name: str) -> None:
    source, pattern = GRAMMARS[name]
    constraint = Constraint("grammar", source)
    async with subject.running() as driver:
        for sampling in WAYS:
            whole = await driver.ask([7], 120, sampling, constraint=constraint)
            for position in range(0, len(whole.ids), max(1, len(whole.ids) // 8)):
                rest = await driver.ask(
                    [7], 120, sampling, constraint=constraint, resume=whole.ids[:position]
                )
                ids = [*whole.ids[:position], *rest.ids]
                if subject.case.resumes_samples or sampling.temperature == 0.0:
                    assert ids == whole.ids
                text = b"".join(map(driver.engine.tokenizer.piece, ids)).decode()
                assert re.fullmatch(pattern, text)
                assert rest.finish == "stop"


@lacking("grammar")
async def test_an_engine_without_grammars_refuses_them(subject: Subject) -> None:
    constraint = Constraint("grammar", GRAMMARS["choice"][0], "guided_grammar")
    async with subject.running() as driver:
        request = CompletionRequest(prompt=[1], constraint=constraint)
        with pytest.raises(InvalidRequest) as refused:
            driver.pipeline.prepare(request, id=0)
    assert refused.value.code == "unsupported_parameter"
    assert refused.value.param == "guided_grammar"


def _text(driver: Driver, answer: Answer) -> str:
    return b"".join(map(driver.engine.tokenizer.piece, answer.ids)).decode()
