"""The anthropic SDK, unmodified, and the requests that Claude Code sends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import anthropic
import httpx
import pydantic
import pytest

from tests.support.server import Server

ALIAS = "claude-sonnet-5"
WEATHER: Any = {
    "name": "get_weather",
    "description": "Tell the weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
QUESTION: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
ASKED: Any = {"model": ALIAS, "max_tokens": 400, "messages": QUESTION, "tools": [WEATHER]}


@pytest.fixture(scope="module", autouse=True)
def models(server: Server) -> Iterator[None]:
    server.launch(model_uid="anthropic-echo", commands=True)
    server.launch(
        "tiny-chat", model_engine="llama-cpp-python", model_uid="anthropic-caller", aliases=[ALIAS]
    )
    yield
    server.terminate("anthropic-echo")
    server.terminate("anthropic-caller")


@pytest.fixture
def client(server: Server) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key="not-needed", max_retries=0) as made:
        yield made


def say(client: anthropic.Anthropic, text: str, **more: Any) -> anthropic.types.Message:
    made: anthropic.types.Message = client.messages.create(
        model="anthropic-echo",
        messages=[{"role": "user", "content": text}],
        **{"max_tokens": 100, **more},
    )
    return made


def test_a_message(client: anthropic.Anthropic) -> None:
    answer = say(client, "Hello, 世界 👋", system="Be brief.", metadata={"user_id": "me"})
    (block,) = answer.content
    assert block.type == "text"
    assert block.text == "Hello, 世界 👋"
    assert (answer.role, answer.stop_reason) == ("assistant", "end_turn")
    assert answer.usage.output_tokens == len("Hello, 世界 👋".encode())
    assert answer._request_id


def test_why_an_answer_ends(client: anthropic.Anthropic) -> None:
    cut = say(client, "abcdefgh", max_tokens=3)
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 3)
    stopped = say(client, "one two three", stop_sequences=["zzz", "o t"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "o t")


def test_a_stream(client: anthropic.Anthropic) -> None:
    with client.messages.stream(
        model="anthropic-echo",
        max_tokens=100,
        messages=[{"role": "user", "content": "stream me"}],
        stop_sequences=["me"],
    ) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    (block,) = final.content
    assert block.type == "text"
    assert block.text == text == "stream "
    assert (final.stop_reason, final.stop_sequence) == ("stop_sequence", "me")
    assert final.usage.output_tokens > 0


def test_tokens_are_counted_as_the_answer_will_count_them(client: anthropic.Anthropic) -> None:
    counted = client.messages.count_tokens(model=ALIAS, messages=QUESTION, tools=[WEATHER])
    answer = client.messages.create(**ASKED)
    usage = answer.usage
    assert counted.input_tokens == usage.input_tokens + (usage.cache_read_input_tokens or 0)
    more = client.messages.count_tokens(
        model=ALIAS, messages=QUESTION, tools=[WEATHER], system="Be brief."
    )
    assert more.input_tokens > counted.input_tokens


def test_a_tool_is_called_and_its_result_goes_back(client: anthropic.Anthropic) -> None:
    first = client.messages.create(**ASKED)
    assert first.stop_reason == "tool_use"
    call = first.content[-1]
    assert call.type == "tool_use"
    assert (call.name, call.input) == ("get_weather", {"city": "Paris"})
    result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    messages: Any = [
        *QUESTION,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    second = client.messages.create(**{**ASKED, "messages": messages})
    assert second.stop_reason == "end_turn"
    (text,) = second.content
    assert text.type == "text"
    assert "sunny" in text.text


def test_a_tool_is_called_in_a_stream_after_some_thoughts(client: anthropic.Anthropic) -> None:
    with client.messages.stream(
        **ASKED, thinking={"type": "enabled", "budget_tokens": 1024}
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert {"thinking", "signature", "input_json"} <= set(kinds)
    assert [block.type for block in final.content] == ["thinking", "tool_use"]
    call = final.content[1]
    assert call.type == "tool_use"
    assert call.input == {"city": "Paris"}
    assert final.stop_reason == "tool_use"


def test_a_forced_tool_follows_thoughts_and_is_told_while_it_is_called(
    client: anthropic.Anthropic,
) -> None:
    with client.messages.stream(
        **ASKED,
        thinking={"type": "enabled", "budget_tokens": 1024},
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        extra_body={"stream_options": {"tool_call_deltas": True}},
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert kinds.count("input_json") > 2
    assert [block.type for block in final.content] == ["thinking", "tool_use"]
    call = final.content[1]
    assert call.type == "tool_use"
    assert set(call.input) == {"city"}


class Weather(pydantic.BaseModel):
    """What an answer has to be."""

    city: Literal["Paris", "Rome"]
    sunny: bool


def test_an_answer_is_parsed(client: anthropic.Anthropic) -> None:
    answer = client.messages.parse(
        model=ALIAS, max_tokens=100, messages=QUESTION, output_format=Weather
    )
    assert isinstance(answer.parsed_output, Weather)


def test_errors_are_those_of_the_sdk(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="There is no model 'nothing'"):
        client.messages.create(model="nothing", max_tokens=9, messages=QUESTION)
    with pytest.raises(anthropic.BadRequestError, match="context"):
        say(client, "x" * 100_000)


def test_a_stream_that_fails_raises(client: anthropic.Anthropic) -> None:
    messages: Any = [{"role": "user", "content": "!fail 3"}]
    with (
        pytest.raises(anthropic.APIStatusError, match="asked the echo engine to fail"),
        client.messages.stream(model="anthropic-echo", max_tokens=9, messages=messages) as stream,
    ):
        stream.get_final_message()


CLAUDE_CODE = {
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
    "x-app": "cli",
    "x-stainless-lang": "js",
    "authorization": "Bearer a-token",
}


def test_what_claude_code_sends(server: Server) -> None:
    """A probe of one token, counts, then a stream with system blocks, tools and thoughts."""
    thinking = {"type": "enabled", "budget_tokens": 31_999}
    ephemeral = {"cache_control": {"type": "ephemeral"}}
    whole = {
        "model": ALIAS,
        "system": [
            {"type": "text", "text": "You are Claude Code.", **ephemeral},
            {"type": "text", "text": "Be brief."},
        ],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "<system-reminder>x</system-reminder>"},
                    {"type": "text", "text": QUESTION[0]["content"], **ephemeral},
                ],
            }
        ],
        "tools": [{**WEATHER, **ephemeral}],
        "metadata": {"user_id": "user_1_account__session_2"},
    }
    with httpx.Client(base_url=server.url, headers=CLAUDE_CODE, timeout=60) as http:
        probe = http.post(
            "/v1/messages?beta=true",
            json={
                "model": ALIAS,
                "max_tokens": 1,
                "messages": [{"role": "user", "content": "quota"}],
                "metadata": whole["metadata"],
            },
        )
        assert probe.status_code == 200, probe.text
        assert probe.json()["stop_reason"] == "max_tokens"
        counted = http.post(
            "/v1/messages/count_tokens?beta=true",
            json={**whole, "thinking": thinking},
        )
        assert counted.json()["input_tokens"] > 50
        answer = http.post(
            "/v1/messages?beta=true",
            json={
                **whole,
                "max_tokens": 32_000,
                "stream": True,
                "temperature": 1,
                "thinking": thinking,
                "context_management": {"edits": []},
            },
        )
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = [
        json.loads(line.removeprefix("data: "))
        for line in answer.text.split("\n")
        if line.startswith("data: ")
    ]
    assert (told[0]["type"], told[-1]["type"]) == ("message_start", "message_stop")
    assert told[0]["message"]["usage"]["input_tokens"] == counted.json()["input_tokens"]
