"""POST /v1/responses: what goes down to the gateway, and what comes back as items and events."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.unit.api.fakes import USAGE, Api, Exchange, answer, deployment
from xinfer.errors import EngineFailed, Unavailable
from xinfer.types.deployment import DeploymentState
from xinfer.types.event import (
    Delta,
    Finished,
    LogprobDelta,
    MessageDelta,
    TokenLogprob,
    ToolCall,
    Usage,
)
from xinfer.types.request import ChatRequest

pytestmark = pytest.mark.anyio

PIXEL = "data:image/png;base64,iVBORw0KGgo="


async def create(api: Api, **body: Any) -> httpx.Response:
    return await api.http.post("/v1/responses", json={"model": "echo", "input": "Hi", **body})


async def sent(**body: Any) -> ChatRequest:
    """What the gateway gets of a body."""
    api = Api()
    response = await create(api, **body)
    assert response.status_code == 200, response.text
    (request,) = api.gateway.requests
    assert isinstance(request, ChatRequest)
    return request


def events(text: str) -> list[dict[str, Any]]:
    """The events' data; their names and numbers are looked at."""
    found = []
    for block in text.split("\n\n"):
        if block:
            name, data = block.split("\n")
            body = json.loads(data.removeprefix("data: "))
            assert name == f"event: {body['type']}"
            assert body["sequence_number"] == len(found)
            found.append(body)
    return found


async def test_a_whole_answer_is_a_response_with_one_message() -> None:
    response = await create(Api(), instructions="Be brief.", metadata={"a": "b"}, store=True)
    body = response.json()
    request_id = response.headers["x-request-id"]
    assert body["id"] == f"resp_{request_id}"
    assert (body["object"], body["status"], body["model"]) == ("response", "completed", "echo")
    assert body["output"] == [
        {
            "type": "message",
            "id": f"msg_{request_id}_0",
            "status": "completed",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "Hello there", "annotations": [], "logprobs": []}
            ],
        }
    ]
    assert body["usage"] == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 7,
    }
    assert (body["instructions"], body["metadata"], body["store"]) == (
        "Be brief.",
        {"a": "b"},
        False,
    )
    assert body["completed_at"] >= body["created_at"]


async def test_a_stream_has_openais_events_in_their_order() -> None:
    response = await create(Api(), stream=True)
    told = events(response.text)
    assert [one["type"].removeprefix("response.") for one in told] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert told[0]["response"]["status"] == "in_progress"
    assert told[0]["response"]["output"] == []
    assert told[2]["item"]["content"] == []
    assert [told[4]["delta"], told[5]["delta"]] == ["Hello", " there"]
    assert told[6]["text"] == "Hello there"
    assert told[-1]["response"]["output"] == [told[-2]["item"]]
    assert {one["item_id"] for one in told if "item_id" in one} == {told[2]["item"]["id"]}
    assert told[-1]["response"]["usage"]["total_tokens"] == 7


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_is_cut_is_incomplete(stream: bool) -> None:
    api = Api()
    api.gateway.scripts = [answer("Hel", reason="length")]
    response = await create(api, stream=stream, max_output_tokens=2)
    if stream:
        last = events(response.text)[-1]
        assert last["type"] == "response.incomplete"
        body = last["response"]
    else:
        body = response.json()
    assert body["status"] == "incomplete"
    assert body["incomplete_details"] == {"reason": "max_output_tokens"}
    assert body["output"][0]["status"] == "incomplete"


async def test_log_probabilities_go_with_the_text() -> None:
    logprobs = (TokenLogprob(b"Hi", -0.5, ((b"Hi", -0.5),)),)
    script: Any = [[LogprobDelta(1, "Hi", [1], logprobs)], [Finished(1, "stop", USAGE)]]
    api = Api()
    api.gateway.scripts = [script, script]
    asked = {"include": ["message.output_text.logprobs"], "top_logprobs": 1}
    whole = (await create(api, **asked)).json()["output"][0]["content"][0]["logprobs"]
    assert [(one["token"], one["logprob"]) for one in whole] == [("Hi", -0.5)]
    told = events((await create(api, stream=True, **asked)).text)
    assert next(one for one in told if one["type"].endswith("text.delta"))["logprobs"] == whole
    assert next(one for one in told if one["type"].endswith("text.done"))["logprobs"] == whole
    assert isinstance(api.gateway.requests[0], ChatRequest)
    assert api.gateway.requests[0].sampling.logprobs == 1


async def test_sampling_and_instructions_reach_the_model() -> None:
    request = await sent(
        instructions="Be brief.",
        max_output_tokens=7,
        temperature=0.5,
        top_p=0.9,
        reasoning={"effort": "low"},
        truncation="disabled",
        parallel_tool_calls=True,
        user="me",
    )
    assert request.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    sampling = request.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.top_p) == (7, 0.5, 0.9)


async def test_items_of_one_turn_become_one_message() -> None:
    request = await sent(
        input=[
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [],
                "content": [{"type": "reasoning_text", "text": "A tool."}],
            },
            {
                "type": "message",
                "role": "assistant",
                "id": "msg_1",
                "status": "completed",
                "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
            },
            {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
            {"type": "function_call", "call_id": "c2", "name": "hear", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "sun"},
            {
                "type": "function_call_output",
                "call_id": "c2",
                "output": [{"type": "input_text", "text": "birds"}],
            },
            {"role": "assistant", "content": "Sun and birds."},
            {"role": "assistant", "content": "Indeed."},
            {"role": "user", "content": "Thanks"},
        ]
    )
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}},
        {"id": "c2", "type": "function", "function": {"name": "hear", "arguments": "{}"}},
    ]
    assert request.messages == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "A tool.",
            "tool_calls": calls,
        },
        {"role": "tool", "content": "sun", "tool_call_id": "c1", "name": "look"},
        {
            "role": "tool",
            "content": [{"type": "text", "text": "birds"}],
            "tool_call_id": "c2",
            "name": "hear",
        },
        {"role": "assistant", "content": "Sun and birds."},
        {"role": "assistant", "content": "Indeed."},
        {"role": "user", "content": "Thanks"},
    ]


async def test_thoughts_nobody_can_read_are_left_out() -> None:
    encrypted = {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "x"}
    request = await sent(input=[encrypted, {"role": "user", "content": "Hi"}])
    assert request.messages == [{"role": "user", "content": "Hi"}]


async def test_pictures_go_as_bytes() -> None:
    picture = {"type": "input_image", "image_url": PIXEL, "detail": "auto"}
    request = await sent(input=[{"role": "user", "content": [picture]}])
    assert request.messages[0]["content"] == [{"type": "image_url", "media": 0}]
    assert request.media[0].data.startswith(b"\x89PNG")


def _user(*content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(content)}]


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ({"input": None}, "input", ""),
        ({"input": []}, "input", ""),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input.0", "reasoning"),
        ({"input": [{"content": "x"}]}, "input.0", "of type message"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input.0.role", ""),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "whole conversation"),
        ({"background": True}, "background", ""),
        ({"truncation": "auto"}, "truncation", ""),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "expected 'function'"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "needs a name"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema", ""),
        (
            {"input": _user({"type": "input_image", "file_id": "f"})},
            "input[0].content[0]",
            "data URL",
        ),
        (
            {
                "input": [
                    {"role": "assistant", "content": [{"type": "input_image", "image_url": PIXEL}]}
                ]
            },
            "input[0].content[0]",
            "assistant",
        ),
    ],
)
async def test_what_cannot_be_served_is_refused(
    body: dict[str, Any], param: str, says: str
) -> None:
    response = await create(Api(), **body)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, param)
    assert says in error["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_of_the_model_is_an_http_error(stream: bool) -> None:
    api = Api()
    api.gateway.scripts = [Unavailable("full", code="overloaded", retry_after=3)]
    response = await create(api, stream=stream)
    assert (response.status_code, response.headers["retry-after"]) == (503, "3")
    assert response.json()["error"]["code"] == "overloaded"
    loading = await create(Api(deployment(state=DeploymentState.LOADING)), stream=stream)
    assert loading.json()["error"]["code"] == "model_loading"


async def test_an_answer_that_breaks_off_fails_and_says_so() -> None:
    api = Api()
    api.gateway.scripts = [[[Delta(1, "Hel", [])], EngineFailed("It broke.")]]
    told = events((await create(api, stream=True)).text)
    assert [one["type"] for one in told[-2:]] == ["response.failed", "error"]
    assert told[-2]["response"]["status"] == "failed"
    assert told[-2]["response"]["error"] == {"code": "server_error", "message": "It broke."}
    assert told[-1]["message"] == told[-1]["error"]["message"] == "It broke."


async def test_a_client_that_leaves_ends_the_work() -> None:
    api = Api()
    api.gateway.scripts = [[[Delta(1, "Hel", [])], asyncio.Event()]]
    body = {"model": "echo", "input": "Hi", "stream": True}
    exchange = Exchange(api.app, "/v1/responses", body)
    async with exchange.running() as task:
        await exchange.receives(b'"delta":"Hel"')
        exchange.hang_up()
        await asyncio.wait_for(task, 10)
    assert api.gateway.streams[0].left


WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "Tells it.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": True,
}
CALLING: Any = [
    [MessageDelta(1, "", [1], (), "I ", ())],
    [MessageDelta(1, "Let me see.", [2], (), "look.", ())],
    [
        MessageDelta(
            1, "", [3], (), "", (ToolCall("weather", '{"city": "Köln"}'), ToolCall("time", "{}"))
        )
    ],
    [Finished(1, "tool_calls", Usage(5, 9, 0, 3))],
]


async def test_thoughts_text_and_calls_are_items() -> None:
    api = Api()
    api.gateway.scripts = [CALLING]
    body = (await create(api, tools=[WEATHER])).json()
    assert [one["type"] for one in body["output"]] == [
        "reasoning",
        "message",
        "function_call",
        "function_call",
    ]
    thought, message, first, second = body["output"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "I look."}]
    assert message["content"][0]["text"] == "Let me see."
    assert (first["name"], first["arguments"]) == ("weather", '{"city": "Köln"}')
    assert first["call_id"] != second["call_id"]
    assert len({one["id"] for one in body["output"]}) == 4
    assert body["status"] == "completed"
    assert body["usage"]["output_tokens_details"] == {"reasoning_tokens": 3}


async def test_a_stream_of_thoughts_text_and_calls_comes_to_the_same_items() -> None:
    api = Api()
    api.gateway.scripts = [CALLING]
    told = events((await create(api, tools=[WEATHER], stream=True)).text)
    kinds = [one["type"].removeprefix("response.") for one in told[2:-1]]
    call = [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    assert kinds == [
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        *call,
        *call,
    ]
    done = [one["item"] for one in told if one["type"] == "response.output_item.done"]
    assert told[-1]["response"]["output"] == done
    assert [one["type"] for one in done] == [
        "reasoning",
        "message",
        "function_call",
        "function_call",
    ]
    added = [one["item"] for one in told if one["type"] == "response.output_item.added"]
    assert [one["id"] for one in added] == [one["id"] for one in done]
    assert added[2]["arguments"] == ""
    assert done[2]["arguments"] == '{"city": "Köln"}'


GROWING: Any = [
    [MessageDelta(1, "", [1], (), "I look.", ())],
    [MessageDelta(1, "", [2], (), "", (ToolCall("weather", ""),))],
    [MessageDelta(1, "", [3], (), "", (ToolCall("", '{"city":'),))],
    [MessageDelta(1, "", [3], (), "", (ToolCall("", ' "Köln"}'), ToolCall("time", "")))],
    [MessageDelta(1, "", [3], (), "", (ToolCall("", '{"zo'),))],
]


@pytest.mark.parametrize(
    ("reason", "status"), [("tool_calls", "completed"), ("length", "incomplete")]
)
async def test_a_stream_tells_the_pieces_of_calls_as_they_come(reason: str, status: str) -> None:
    api = Api()
    api.gateway.scripts = [[*GROWING, [Finished(1, reason, Usage(5, 9, 0, 3))]]]
    options = {"stream_options": {"tool_call_deltas": True}}
    told = events((await create(api, tools=[WEATHER], stream=True, **options)).text)
    (request,) = api.gateway.requests
    assert request.call_deltas
    pieces = [one for one in told if one["type"].endswith("arguments.delta")]
    assert [one["delta"] for one in pieces] == ['{"city":', ' "Köln"}', '{"zo']
    done = [one["item"] for one in told if one["type"] == "response.output_item.done"]
    assert told[-1]["response"]["output"] == done
    assert [one.get("arguments") for one in done] == [None, '{"city": "Köln"}', '{"zo']
    assert [one["status"] for one in done[1:]] == ["completed", status]
    assert [one["item_id"] for one in pieces] == [done[1]["id"], done[1]["id"], done[2]["id"]]
    whole = [one for one in told if one["type"].endswith("arguments.done")]
    assert [(one["name"], one["arguments"]) for one in whole] == [
        ("weather", '{"city": "Köln"}'),
        ("time", '{"zo'),
    ]


async def test_the_last_piece_of_a_call_comes_before_the_text_that_came_with_it() -> None:
    api = Api()
    rest = (ToolCall("", '"Köln"}'), ToolCall("time", ""), ToolCall("", "{}"))
    begun = (ToolCall("weather", ""), ToolCall("", '{"city":'))
    script: Any = [
        [MessageDelta(1, "", [1], (), "", begun)],
        [MessageDelta(1, "And", [2], (), "", rest), Finished(1, "tool_calls", Usage(5, 9, 0, 0))],
    ]
    api.gateway.scripts = [script]
    told = events((await create(api, tools=[WEATHER], stream=True)).text)
    items = told[-1]["response"]["output"]
    assert [one["type"] for one in items] == ["function_call", "message", "function_call"]
    assert [one.get("arguments") for one in items] == ['{"city":"Köln"}', None, "{}"]
    assert items[1]["content"][0]["text"] == "And"


@pytest.mark.parametrize(
    ("choice", "wanted", "name"),
    [
        ("auto", "auto", ""),
        ("required", "required", ""),
        ("none", "none", ""),
        ({"type": "function", "name": "weather"}, "named", "weather"),
    ],
)
async def test_tools_and_the_choice_among_them_reach_the_model(
    choice: Any, wanted: str, name: str
) -> None:
    request = await sent(tools=[WEATHER], tool_choice=choice, parallel_tool_calls=False)
    function = {name: value for name, value in WEATHER.items() if name != "type"}
    assert request.tools == [{"type": "function", "function": function}]
    assert (request.tool_choice, request.tool_name) == (wanted, name)
    assert request.parallel_tool_calls is False
