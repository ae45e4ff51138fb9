"""The openai SDK's responses, unmodified; tokens, and a model by its alias."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pydantic
import pytest

from tests.support.server import Server

ECHO, CALLER, ALIAS = "responses-echo", "responses-caller", "gpt-4o-mini"
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Tell the weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
    "strict": False,
}
QUESTION = "What is the weather in Paris?"


@pytest.fixture(scope="module", autouse=True)
def models(server: Server) -> Iterator[None]:
    server.launch(model_uid=ECHO, commands=True)
    server.launch("tiny-chat", model_engine="llama-cpp-python", model_uid=CALLER, aliases=[ALIAS])
    yield
    server.terminate(ECHO)
    server.terminate(CALLER)


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="not-needed", max_retries=0) as made:
        yield made


def test_a_response(client: openai.OpenAI) -> None:
    answer = client.responses.create(
        model=ECHO, input="Hello, 世界 👋", instructions="Be brief.", max_output_tokens=50
    )
    assert answer.output_text == "Hello, 世界 👋"
    assert (answer.status, answer.model, answer.instructions) == ("completed", ECHO, "Be brief.")
    assert answer.usage is not None
    assert answer.usage.output_tokens == len("Hello, 世界 👋".encode())
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


def test_a_response_that_is_cut(client: openai.OpenAI) -> None:
    answer = client.responses.create(model=ECHO, input="abcdefgh", max_output_tokens=3)
    assert (answer.output_text, answer.status) == ("abc", "incomplete")
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"


def test_events_as_they_come(client: openai.OpenAI) -> None:
    events = list(client.responses.create(model=ECHO, input="stream me", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == "stream me"
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == "stream me"


def test_the_helper_for_streams(client: openai.OpenAI) -> None:
    with client.responses.stream(model=ECHO, input="stream me") as stream:
        texts = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert texts[-1] == final.output_text == "stream me"


def test_log_probabilities(client: openai.OpenAI) -> None:
    answer = client.responses.create(
        model=ECHO, input="Hi", include=["message.output_text.logprobs"], top_logprobs=1
    )
    (message,) = answer.output
    assert message.type == "message"
    (part,) = message.content
    assert part.type == "output_text"
    assert [one.token for one in part.logprobs or []] == ["H", "i"]


def test_a_function_is_called_and_its_result_goes_back(client: openai.OpenAI) -> None:
    first = client.responses.create(model=ALIAS, input=QUESTION, tools=[WEATHER], temperature=0)
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert call.name == "get_weather"
    assert json.loads(call.arguments) == {"city": "Paris"}
    history: Any = [
        {"role": "user", "content": QUESTION},
        *first.output,
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"},
    ]
    second = client.responses.create(model=ALIAS, input=history, tools=[WEATHER], temperature=0)
    assert "sunny" in second.output_text


def test_a_function_is_called_in_a_stream(client: openai.OpenAI) -> None:
    with client.responses.stream(
        model=ALIAS, input=QUESTION, tools=[WEATHER], temperature=0
    ) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert "response.function_call_arguments.delta" in kinds
    (call,) = [item for item in final.output if item.type == "function_call"]
    assert json.loads(call.arguments) == {"city": "Paris"}


def test_a_call_is_told_while_it_is_written(client: openai.OpenAI) -> None:
    extra = {"stream_options": {"tool_call_deltas": True}}
    asked: Any = {"model": ALIAS, "input": QUESTION, "tools": [WEATHER], "temperature": 0}
    with client.responses.stream(**asked, extra_body=extra) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds.count("response.function_call_arguments.delta") > 1
    (call,) = [item for item in final.output if item.type == "function_call"]
    assert json.loads(call.arguments) == {"city": "Paris"}


def test_a_forced_call_and_a_parsed_answer_follow_thoughts(client: openai.OpenAI) -> None:
    asked: Any = {"model": ALIAS, "input": QUESTION, "reasoning": {"effort": "high"}}
    forced = client.responses.create(**asked, tools=[WEATHER], tool_choice="required")
    assert {item.type for item in forced.output} == {"reasoning", "function_call"}
    parsed = client.responses.parse(**asked, text_format=Weather)
    assert isinstance(parsed.output_parsed, Weather)
    assert parsed.output[0].type == "reasoning"


class Weather(pydantic.BaseModel):
    """What an answer has to be."""

    city: Literal["Paris", "Rome"]
    sunny: bool


def test_an_answer_is_parsed(client: openai.OpenAI) -> None:
    answer = client.responses.parse(model=ALIAS, input=QUESTION, text_format=Weather)
    assert isinstance(answer.output_parsed, Weather)
    with client.responses.stream(model=ALIAS, input=QUESTION, text_format=Weather) as stream:
        list(stream)
        assert isinstance(stream.get_final_response().output_parsed, Weather)


def test_errors_are_those_of_the_sdk(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="whole conversation") as caught:
        client.responses.create(model=ECHO, input="Hi", previous_response_id="resp_1")
    assert caught.value.param == "previous_response_id"
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="nothing", input="Hi")


def test_a_stream_that_fails_raises(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIError, match="asked the echo engine to fail"):
        list(client.responses.create(model=ECHO, input="!fail 3", stream=True))


def test_a_model_is_known_by_its_alias(client: openai.OpenAI, server: Server) -> None:
    assert {ALIAS, CALLER} <= {model.id for model in client.models.list()}
    assert client.models.retrieve(ALIAS).id == ALIAS
    taken = server.http.post("/v1/models", json={"model_name": "echo", "model_uid": ALIAS})
    assert taken.status_code == 409
    assert f"belongs to model '{CALLER}'" in taken.json()["detail"]


@pytest.mark.parametrize("model", [ECHO, ALIAS])
def test_text_is_made_tokens_and_text_again(server: Server, model: str) -> None:
    text = "Hello, 世界 👋"
    asked = {"model": model, "prompt": text, "add_special_tokens": False}
    told = server.http.post("/tokenize", json={**asked, "return_token_strs": True}).json()
    assert told["count"] == len(told["tokens"]) == len(told["token_strs"]) > 0
    back = server.http.post("/detokenize", json={"model": model, "tokens": told["tokens"]})
    assert back.json() == {"prompt": text}
    usage = server.http.post(
        "/v1/chat/completions",
        json={"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": text}]},
    ).json()["usage"]
    chat = server.http.post(
        "/tokenize", json={"model": model, "messages": [{"role": "user", "content": text}]}
    )
    assert chat.json()["count"] == usage["prompt_tokens"]
