"""Clients, unmodified, that let tiny-chat think and call functions."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import requests
import xinference_client
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from tests.support.server import Server

UID = "caller"
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
QUESTION: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
ASKED: Any = {"model": UID, "messages": QUESTION, "tools": [WEATHER], "temperature": 0}


@pytest.fixture(scope="module", autouse=True)
def caller(server: Server) -> Iterator[None]:
    server.launch("tiny-chat", model_uid=UID)
    yield
    server.terminate(UID)


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="not-needed", max_retries=0) as made:
        yield made


def assert_paris(arguments: str) -> None:
    assert json.loads(arguments) == {"city": "Paris"}


def test_openai_sdk_thinks_and_calls(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(**ASKED, extra_body={"enable_thinking": True})
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert choice.message.reasoning_content  # type: ignore[attr-defined]
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert_paris(call.function.arguments)
    assert answer.usage is not None
    details = answer.usage.completion_tokens_details
    assert details is not None
    assert 0 < (details.reasoning_tokens or 0) < answer.usage.completion_tokens


@pytest.mark.parametrize("deltas", [False, True])
def test_openai_sdk_gathers_a_streamed_call(client: openai.OpenAI, deltas: bool) -> None:
    with client.chat.completions.stream(
        **ASKED, extra_body={"stream_options": {"tool_call_deltas": deltas}}
    ) as stream:
        chunks = sum(event.type == "tool_calls.function.arguments.delta" for event in stream)
        final = stream.get_final_completion()
    assert chunks > 1 if deltas else chunks == 1
    (choice,) = final.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.function.name == "get_weather"
    assert_paris(call.function.arguments)


def test_openai_sdk_sends_the_result_back(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(**ASKED)
    message = first.choices[0].message
    assert message.tool_calls is not None
    result = {
        "role": "tool",
        "tool_call_id": message.tool_calls[0].id,
        "content": '{"sky": "clear"}',
    }
    history = [*QUESTION, message.model_dump(exclude_none=True), result]
    answer = client.chat.completions.create(**{**ASKED, "messages": history})
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert first.usage is not None
    assert answer.usage.prompt_tokens > first.usage.prompt_tokens


@pytest.mark.parametrize("thinking", [False, True])
def test_openai_sdk_has_a_call_forced(client: openai.OpenAI, thinking: bool) -> None:
    schema = {
        "type": "object",
        "properties": {"days": {"type": "integer", "minimum": 2, "maximum": 4}},
        "required": ["days"],
    }
    other: Any = {"type": "function", "function": {"name": "plan", "parameters": schema}}
    choice: Any = {"type": "function", "function": {"name": "plan"}}
    extra = {"enable_thinking": thinking, "stream_options": {"tool_call_deltas": True}}
    asked = {**ASKED, "tools": [WEATHER, other], "max_tokens": 200, "extra_body": extra}
    answer = client.chat.completions.create(**asked, tool_choice=choice)
    message = answer.choices[0].message
    assert message.tool_calls is not None
    (call,) = message.tool_calls
    assert call.type == "function"
    assert call.function.name == "plan"
    assert json.loads(call.function.arguments)["days"] in (2, 3, 4)
    assert bool(getattr(message, "reasoning_content", None)) == thinking
    with client.chat.completions.stream(**asked, tool_choice=choice) as stream:
        final = stream.get_final_completion().choices[0].message
    assert final.tool_calls is not None
    (told,) = final.tool_calls
    assert json.loads(told.function.arguments) == json.loads(call.function.arguments)
    none = client.chat.completions.create(**asked, tool_choice="none")
    assert none.choices[0].message.tool_calls is None
    assert none.choices[0].message.content


def test_a_langchain_agent_uses_a_tool(server: Server) -> None:
    asked = []

    def get_weather(city: str) -> str:
        """Tell the weather of a city."""
        asked.append(city)
        return '{"sky": "clear"}'

    model = ChatOpenAI(
        base_url=f"{server.url}/v1", api_key=SecretStr("none"), model=UID, temperature=0
    )
    agent: Any = create_agent(model, [tool(get_weather)])
    said = agent.invoke({"messages": QUESTION})["messages"]
    assert asked == ["Paris"]
    assert [message.type for message in said] == ["human", "ai", "tool", "ai"]
    assert said[-1].text
    asked.clear()
    streamed = [piece for piece, _ in agent.stream({"messages": QUESTION}, stream_mode="messages")]
    assert asked == ["Paris"]
    assert streamed


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_xinference_client_passes_tools(server: Server) -> None:
    client = xinference_client.RESTfulClient(server.url)
    model: Any = client.get_model(UID)
    answer = model.chat(messages=QUESTION, tools=[WEATHER], generate_config={"temperature": 0.0})
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert_paris(call["function"]["arguments"])
    client.close()
    del client, model
    gc.collect()  # while the filters above hold


def dify_sees(chunks: Any) -> tuple[str, list[Any]]:
    """What Dify's plugin makes of a stream: it drops chunks without a finish reason and without
    text, whatever else is in them."""
    text, calls = "", []
    for chunk in chunks:
        if not chunk.choices:
            continue
        delta = chunk.choices[0]
        if delta.finish_reason is None and not delta.delta.content:
            continue
        text += delta.delta.content or ""
        calls += delta.delta.tool_calls or ()
    return text, calls


def test_difys_sequence_of_calls(server: Server, client: openai.OpenAI) -> None:
    with requests.Session() as session:  # as its validation asks, without a key
        assert session.get(f"{server.url}/v1/cluster/auth", timeout=10).json() == {"auth": False}
        model = session.get(f"{server.url}/v1/models/{UID}", timeout=10).json()
        missing = session.get(f"{server.url}/v1/models/no-such", timeout=10)
    assert {"chat", "tools"} <= set(model["model_ability"])
    assert model["model_type"] == "LLM"
    assert (model["model_format"], model["model_family"]) == ("ggufv2", "tiny-chat")
    assert model["context_length"] > 0
    assert missing.status_code == 404
    assert isinstance(missing.json()["detail"], str)
    thinking = {"chat_template_kwargs": {"enable_thinking": False}, "thinking": False}
    sampling: Any = {"temperature": 0.01, "top_p": 0.7, "max_tokens": 512}
    sampling |= {"presence_penalty": 0.0, "frequency_penalty": 0.0, "user": "me"}
    asked = {**ASKED, **sampling, "stream": True, "extra_body": thinking}
    text, calls = dify_sees(client.chat.completions.create(**asked))
    assert text == ""
    (call,) = calls
    assert call.function.name == "get_weather"
    assert_paris(call.function.arguments)
    called = {"name": "get_weather", "arguments": call.function.arguments}
    history = [
        *QUESTION,
        {"role": "assistant", "content": "", "function_call": called},
        {"role": "tool", "tool_call_id": call.id, "name": "get_weather", "content": "clear"},
    ]
    text, calls = dify_sees(client.chat.completions.create(**{**asked, "messages": history}))
    assert text
    assert not calls
    whole = client.chat.completions.create(**{**asked, "messages": history, "stream": False})
    assert whole.choices[0].message.content == text
    assert whole.choices[0].finish_reason == "stop"
    completed = client.completions.create(model=UID, prompt="Hello", **sampling)
    assert completed.choices[0].text
    assert completed.choices[0].finish_reason in ("stop", "length")


def one_api_reads(server: Server, path: str, **body: Any) -> list[Any]:
    """What One-API makes of a stream: of lines up to 64 KiB those that begin with `data: `, and of
    their chunks those with a choice."""
    url = f"{server.url}/v1/{path}"
    with requests.post(url, json={**body, "stream": True}, timeout=60) as answer:
        lines = [line for line in answer.content.split(b"\n") if line]
    assert all(len(line) < 65536 for line in lines)
    data = [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]
    assert data.pop() == b"[DONE]"
    return [chunk for chunk in map(json.loads, data) if chunk["choices"]]


def test_one_apis_reader_gets_the_usage_with_the_last_choice(server: Server) -> None:
    chat: Any = {"model": UID, "messages": [{"role": "user", "content": "Hello"}]}
    text: Any = {"model": UID, "prompt": ["Hello", "What"], "max_tokens": 4}
    for path, body in (("chat/completions", chat), ("completions", text)):
        for more in ({}, {"n": 2, "logprobs": True if path.startswith("chat") else 20}):
            chunks = one_api_reads(server, path, **body, **more)
            told = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
            assert told == [chunks[-1]["usage"]]
            assert chunks[-1]["choices"][0]["finish_reason"]
            whole = requests.post(f"{server.url}/v1/{path}", json={**body, **more}, timeout=60)
            prompt = whole.json()["usage"]["prompt_tokens"]
            assert told[0]["prompt_tokens"] == prompt
            assert told[0]["total_tokens"] > prompt


def test_one_apis_reader_gets_the_call_and_the_usage(server: Server) -> None:
    chunks = one_api_reads(server, "chat/completions", **ASKED)
    (called,) = [c for c in chunks if c["choices"][0]["delta"].get("tool_calls")]
    assert called is chunks[-1]
    assert called["usage"]["total_tokens"] > 0
    assert [chunk for chunk in chunks if chunk.get("usage")] == [called]
