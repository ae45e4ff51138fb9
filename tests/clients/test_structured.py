"""Structured output with the openai SDK, unmodified, on the model that ships."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel, Field

from tests.support.server import Server


class City(BaseModel):
    name: str = Field(max_length=12, pattern="^[A-Z][a-z]+$")
    country: Literal["France", "Japan"]
    inhabitants: int = Field(ge=0, le=40_000_000)


class Trip(BaseModel):
    days: int = Field(ge=1, le=14)
    cities: list[City] = Field(min_length=1, max_length=2)
    by: Literal["train", "car"] | None


ASKED = [{"role": "user", "content": "Plan a trip."}]


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="not-needed", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def uid(server: Server) -> Iterator[str]:
    """On the engine of the base install."""
    yield server.launch("tiny-chat", model_engine="xllamacpp", model_uid="structured")
    server.terminate("structured")


def test_parse_makes_the_pydantic_model(client: openai.OpenAI, uid: str) -> None:
    answer = client.chat.completions.parse(
        model=uid, messages=ASKED, response_format=Trip, max_tokens=200
    )
    assert answer.choices[0].finish_reason == "stop"
    assert isinstance(answer.choices[0].message.parsed, Trip)


def test_a_stream_parses_too(client: openai.OpenAI, uid: str) -> None:
    with client.chat.completions.stream(
        model=uid, messages=ASKED, response_format=Trip, max_tokens=200
    ) as stream:
        final = stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Trip)


def test_the_answer_behind_thoughts_parses(client: openai.OpenAI, uid: str) -> None:
    asked: Any = {"model": uid, "messages": ASKED, "response_format": Trip, "max_tokens": 400}
    asked |= {"extra_body": {"enable_thinking": True}, "temperature": 0}
    message = client.chat.completions.parse(**asked).choices[0].message
    assert isinstance(message.parsed, Trip)
    assert message.reasoning_content  # type: ignore[attr-defined]
    with client.chat.completions.stream(**asked) as stream:
        streamed = stream.get_final_completion().choices[0].message
    assert streamed.content == message.content
    assert streamed.reasoning_content == message.reasoning_content  # type: ignore[attr-defined]


def test_guided_fields_are_kept_to(client: openai.OpenAI, uid: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}

    def say(**extra: object) -> str:
        answer = client.chat.completions.create(
            model=uid, messages=ASKED, max_tokens=60, extra_body=extra
        )
        return answer.choices[0].message.content or ""

    assert say(guided_choice=["left", "right"]) in {"left", "right"}
    assert re.fullmatch("[0-9]{3}-[a-f]{2}", say(guided_regex="[0-9]{3}-[a-f]{2}"))
    assert say(guided_json={**schema, "additionalProperties": False}).startswith('{"a":')
    assert say(guided_grammar='root ::= "yes" | "no"') in {"yes", "no"}
    assert say(response_format={"type": "json_object"}).startswith("{")
    completed = client.completions.create(
        model=uid, prompt="a", max_tokens=9, extra_body={"guided_choice": ["x", "y"]}
    )
    assert completed.choices[0].text in {"x", "y"}
    assert json.loads(say(guided_json=json.dumps({"const": [1, 2]}))) == [1, 2]


def test_what_cannot_be_enforced_is_an_error_that_names_it(client: openai.OpenAI, uid: str) -> None:
    with pytest.raises(openai.BadRequestError, match="uniqueItems") as refused:
        client.chat.completions.create(
            model=uid,
            messages=ASKED,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "array", "uniqueItems": True}},
            },
        )
    assert refused.value.param == "response_format"
