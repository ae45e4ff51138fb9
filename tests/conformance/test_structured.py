"""Output under a JSON schema, a regular expression or a list of choices is what was asked for."""

from __future__ import annotations

import asyncio
import json
import re
from itertools import product
from typing import Any

import jsonschema
import pytest

from tests.conformance.engines import declaring, engines, lacking
from tests.conformance.schemas import SCHEMAS
from tests.conformance.subject import Subject
from tests.support.token_engine import Answer, Driver
from xinfer.errors import InvalidRequest
from xinfer.model.llm.pipeline.forms import constraint_of
from xinfer.model.llm.pipeline.tools import PARSERS, Functions
from xinfer.types.request import CompletionRequest, Constraint, Sampling

pytestmark = pytest.mark.anyio

HOT = Sampling(temperature=1.0)
MOST = 300
"""Tokens of an answer."""
REGEXES = [
    "[a-z]{3,9}",
    r"\d{3}-\d{4}",
    "(red|green|blue)( and (red|green|blue)){0,3}",
    "^[A-Z][a-z]{1,5}[.!?]$",
    "你好[!。]{1,2}",
    "([a-z]{1,4} ){2}end",
]
FORMS = [
    ("hermes", ""),
    ("deepseek_v3", ""),
    ("qwen3_coder", ""),
]
"""Of calls, each with what its template has."""
OFFERED = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {
                    "unit": {"type": "string", "enum": ["C", "F"]},
                    "days": {"type": "integer", "minimum": 1, "maximum": 9},
                },
                "required": ["days"],
            },
        },
    },
    {"type": "function", "function": {"name": "now", "parameters": SCHEMAS[36]}},
]
CHOICES = [
    ["yes", "no"],
    ["a", "ab", "abc"],
    ["x.*", "(", "\\", "a b", "a\nb"],
    ["你好", "🎉"],
    [""],
]
UNENFORCEABLE = {
    "not": {"not": {"type": "string"}},
    "uniqueItems": {"type": "array", "uniqueItems": True},
    "if": {"if": {"type": "string"}, "then": {"minLength": 3}},
    "contains": {"type": "array", "contains": {"type": "string"}},
    "propertyNames": {"type": "object", "propertyNames": {"pattern": "^a"}},
    "minProperties": {"type": "object", "minProperties": 2},
    "dependentRequired": {"type": "object", "dependentRequired": {"a": ["b"]}},
    "foo": {"type": "string", "format": "foo"},
    "example.com": {"$ref": "http://example.com/schema.json"},
}


@declaring("json_schema")
async def test_answers_that_end_are_valid_by_the_schema_and_nearly_all_end(
    subject: Subject,
) -> None:
    async with subject.running(slots=8) as driver:
        answers = await asyncio.gather(
            *(driver.ask([n], MOST, HOT, constraint=_schema(s)) for n, s in enumerate(SCHEMAS)),
            *(driver.ask([n, n], MOST, HOT, constraint=_schema(s)) for n, s in enumerate(SCHEMAS)),
        )
    for answer, schema in zip(answers, [*SCHEMAS, *SCHEMAS], strict=True):
        assert answer.finish in {"stop", "length"}, answer.failure
        if answer.finish == "stop":
            jsonschema.validate(json.loads(_text(driver, answer)), schema)
    ended = [answer for answer in answers if answer.finish == "stop"]
    assert len(ended) >= 0.9 * len(answers)


@declaring("json_schema")
async def test_the_likeliest_tokens_are_valid_too(subject: Subject) -> None:
    async with subject.running(slots=8) as driver:
        answers = await asyncio.gather(
            *(driver.ask([n], MOST, constraint=_schema(s)) for n, s in enumerate(SCHEMAS))
        )
    for answer, schema in zip(answers, SCHEMAS, strict=True):
        if answer.finish == "stop":
            jsonschema.validate(json.loads(_text(driver, answer)), schema)
    # What is likeliest again and again may go on for ever.
    assert sum(answer.finish == "stop" for answer in answers) >= 0.8 * len(answers)


@declaring("structural_tag")
async def test_calls_that_are_enforced_are_read_back_and_valid(subject: Subject) -> None:
    functions = Functions(OFFERED)
    asked = [(n, *form) for n, form in enumerate(FORMS * 3)]
    async with subject.running(slots=8) as driver:
        answers = await asyncio.gather(
            *(
                driver.ask([n], 450, HOT, constraint=_calls(functions, parser, template))
                for n, parser, template in asked
            )
        )
    ended = 0
    for (_, parser, _), answer in zip(asked, answers, strict=True):
        if answer.finish != "stop":
            continue
        ended += 1
        made = PARSERS[parser](functions)
        first, rest = made.feed(_text(driver, answer)), made.finish()
        assert first.text + rest.text == ""
        calls = [*first.calls, *rest.calls]
        assert 1 <= len(calls) <= 2
        for call in calls:
            jsonschema.validate(json.loads(call.arguments), functions.parameters(call.name))
    assert ended >= 0.9 * len(answers)


def _calls(functions: Functions, parser: str, template: str) -> Constraint:
    form = PARSERS[parser].form(functions, 2, template)
    assert form is not None
    return constraint_of(form, "tool_choice")


@declaring("json_object")
async def test_a_json_object_is_one_as_far_as_it_goes(subject: Subject) -> None:
    async with subject.running() as driver:
        for number in range(8):
            answer = await driver.ask([number], 60, HOT, constraint=Constraint("json_object", ""))
            text = b"".join(map(driver.engine.tokenizer.piece, answer.ids))
            assert text.startswith(b"{")
            if answer.finish == "stop":
                assert isinstance(json.loads(text), dict)


@declaring("regex")
@pytest.mark.parametrize("pattern", REGEXES)
async def test_the_whole_output_matches_the_regular_expression(
    subject: Subject, pattern: str
) -> None:
    async with subject.running() as driver:
        for number in range(6):
            answer = await driver.ask([number], 100, HOT, constraint=Constraint("regex", pattern))
            assert answer.finish == "stop"
            assert re.fullmatch(pattern, _text(driver, answer))


@declaring("choice")
@pytest.mark.parametrize("choices", CHOICES)
async def test_the_output_is_one_of_the_choices(subject: Subject, choices: list[str]) -> None:
    constraint = Constraint("choice", json.dumps(choices))
    async with subject.running() as driver:
        said = set()
        for number in range(20):
            answer = await driver.ask([number], 50, HOT, constraint=constraint)
            assert answer.finish == "stop"
            said.add(_text(driver, answer))
    assert said <= set(choices)
    assert len(said) > 1 or len(choices) == 1


@engines(lambda case: case.resumes_constraints)
async def test_a_schema_holds_on_where_the_output_is_resumed(subject: Subject) -> None:
    ways = [Sampling(temperature=1.0, seed=5), Sampling(temperature=0.0)]
    schemas = [SCHEMAS[number] for number in (10, 13, 29, 35, 46)]
    async with subject.running() as driver:
        for schema, sampling in product(schemas, ways):
            constraint = _schema(schema)
            whole = await driver.ask([7], MOST, sampling, constraint=constraint)
            for position in range(0, len(whole.ids), max(3, len(whole.ids) // 6)):
                rest = await driver.ask(
                    [7], MOST, sampling, constraint=constraint, resume=whole.ids[:position]
                )
                if subject.case.resumes_samples or sampling.temperature == 0.0:
                    assert [*whole.ids[:position], *rest.ids] == whole.ids
                    assert rest.finish == whole.finish
                elif rest.finish == "stop":
                    ids = [*whole.ids[:position], *rest.ids]
                    text = b"".join(map(driver.engine.tokenizer.piece, ids)).decode()
                    jsonschema.validate(json.loads(text), schema)


@engines(lambda case: case.resumes_constraints)
async def test_a_resumed_output_that_the_schema_does_not_allow_is_an_error(
    subject: Subject,
) -> None:
    async with subject.running() as driver:
        answer = await driver.ask(
            [7], 20, constraint=_schema({"type": "boolean"}), resume=[ord("{")]
        )
    assert answer.finish == "error"
    assert answer.failure is not None
    assert "not one that the request's JSON schema allows" in answer.failure.message


@declaring("json_schema")
@pytest.mark.parametrize("named", UNENFORCEABLE)
async def test_what_a_schema_asks_for_and_cannot_be_enforced_is_named(
    subject: Subject, named: str
) -> None:
    constraint = _schema(UNENFORCEABLE[named], "response_format")
    async with subject.running() as driver:
        with pytest.raises(InvalidRequest, match=named) as refused:
            driver.pipeline.prepare(CompletionRequest(prompt=[1], constraint=constraint), id=0)
    assert refused.value.param == "response_format"


@lacking("json_schema")
@pytest.mark.parametrize("kind", ["json_object", "json_schema", "regex", "choice"])
async def test_an_engine_that_does_not_declare_a_kind_refuses_it(
    subject: Subject, kind: str
) -> None:
    constraint = Constraint(kind, "{}", "response_format")
    async with subject.running() as driver:
        with pytest.raises(InvalidRequest) as refused:
            driver.pipeline.prepare(CompletionRequest(prompt=[1], constraint=constraint), id=0)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "response_format")


def _schema(schema: Any, field: str = "") -> Constraint:
    return Constraint("json_schema", json.dumps(schema), field)


def _text(driver: Driver, answer: Answer) -> str:
    return b"".join(map(driver.engine.tokenizer.piece, answer.ids)).decode()
