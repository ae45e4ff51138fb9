"""POST /v1/messages: what goes down to the gateway, and what comes back in Anthropic's words."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.unit.api.fakes import USAGE, Api, Exchange, answer, deployment
from xinfer.errors import EngineFailed, InvalidRequest, ReplicaLost, Unavailable
from xinfer.types.deployment import DeploymentState
from xinfer.types.event import Delta, Finished, MessageDelta, ToolCall, Usage
from xinfer.types.request import ChatRequest

pytestmark = pytest.mark.anyio

HI = [{"role": "user", "content": "Hi"}]
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


async def create(api: Api, **body: Any) -> httpx.Response:
    whole = {"model": "echo", "max_tokens": 100, "messages": HI, **body}
    return await api.http.post("/v1/messages", json=whole)


async def sent(**body: Any) -> ChatRequest:
    """What the gateway gets of a body."""
    api = Api()
    response = await create(api, **body)
    assert response.status_code == 200, response.text
    (request,) = api.gateway.requests
    assert isinstance(request, ChatRequest)
    return request


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Names and data of events."""
    found = []
    for block in text.split("\n\n"):
        if block:
            name, data = block.split("\n")
            body = json.loads(data.removeprefix("data: "))
            assert name == f"event: {body['type']}"
            found.append((body.pop("type"), body))
    return found


async def test_a_whole_answer_has_anthropics_shape() -> None:
    response = await create(Api())
    assert response.status_code == 200
    assert response.headers["request-id"] == response.headers["x-request-id"]
    assert response.json() == {
        "id": "msg_" + response.headers["x-request-id"],
        "type": "message",
        "role": "assistant",
        "model": "echo",
        "content": [{"type": "text", "text": "Hello there"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 4,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 1,
            "output_tokens": 2,
            "output_tokens_details": {"thinking_tokens": 0},
        },
    }


async def test_a_stream_has_anthropics_events_in_their_order() -> None:
    response = await create(Api(), stream=True)
    told = events(response.text)
    assert [name for name, _ in told] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    start = told[0][1]["message"]
    assert (start["content"], start["stop_reason"], start["stop_sequence"]) == ([], None, None)
    assert start["usage"]["input_tokens"] == USAGE.prompt_tokens
    assert told[1][1] == {"index": 0, "content_block": {"type": "text", "text": ""}}
    assert [one["delta"] for name, one in told if name == "content_block_delta"] == [
        {"type": "text_delta", "text": "Hello"},
        {"type": "text_delta", "text": " there"},
    ]
    assert told[5][1] == {
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {
            "input_tokens": 4,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 1,
            "output_tokens": 2,
            "output_tokens_details": {"thinking_tokens": 0},
        },
    }


@pytest.mark.parametrize(
    ("end", "reason", "sequence"),
    [
        (Finished(1, "length", USAGE), "max_tokens", None),
        (Finished(1, "stop", USAGE, "END"), "stop_sequence", "END"),
        (Finished(1, "tool_calls", USAGE), "tool_use", None),
    ],
)
async def test_the_reason_of_the_end_is_in_anthropics_words(
    end: Finished, reason: str, sequence: str | None
) -> None:
    api = Api()
    api.gateway.scripts = [[[Delta(1, "x", [])], [end]], [[Delta(1, "x", [])], [end]]]
    whole = (await create(api, stop_sequences=["END"])).json()
    assert (whole["stop_reason"], whole["stop_sequence"]) == (reason, sequence)
    told = events((await create(api, stop_sequences=["END"], stream=True)).text)
    assert told[-2][1]["delta"] == {"stop_reason": reason, "stop_sequence": sequence}


async def test_a_long_text_is_told_in_short_lines() -> None:
    api = Api()
    api.gateway.scripts = [answer("ü" * 20_000)]
    response = await create(api, stream=True)
    assert max(map(len, response.text.split("\n"))) < 64 << 10
    told = [
        one["delta"]["text"]
        for name, one in events(response.text)
        if name.endswith("_delta") and "text" in one["delta"]
    ]
    assert "".join(told) == "ü" * 20_000


async def test_sampling_and_the_system_prompt_reach_the_model() -> None:
    request = await sent(
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        max_tokens=7,
        temperature=0.5,
        top_p=0.9,
        top_k=20,
        stop_sequences=["END", "STOP"],
        metadata={"user_id": "me"},
    )
    assert request.messages == [{"role": "system", "content": "Be brief."}, *HI]
    sampling = request.sampling
    assert (sampling.max_tokens, sampling.temperature) == (7, 0.5)
    assert (sampling.top_p, sampling.top_k) == (0.9, 20)
    assert request.stop == ("END", "STOP")


@pytest.mark.parametrize(
    ("thinking", "wanted"),
    [
        (None, False),
        ({"type": "disabled"}, False),
        ({"type": "enabled", "budget_tokens": 2048}, True),
        ({"type": "adaptive"}, None),
    ],
)
async def test_only_who_asks_for_thoughts_gets_them(
    thinking: dict[str, Any] | None, wanted: bool | None
) -> None:
    request = await sent(**({"thinking": thinking} if thinking else {}))
    assert request.template_kwargs.get("enable_thinking") is wanted


async def test_the_budget_of_thoughts_is_named_as_ignored() -> None:
    response = await create(Api(), thinking={"type": "enabled", "budget_tokens": 2048}, foo=1)
    assert response.headers["x-ignored-fields"] == "foo, thinking.budget_tokens"


async def test_earlier_turns_with_calls_and_results_become_a_chat() -> None:
    request = await sent(
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "A tool.", "signature": "s"},
                    {"type": "redacted_thinking", "data": "x"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "köln"}},
                    {"type": "tool_use", "id": "t2", "name": "hear", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "sun"},
                    {
                        "type": "tool_result",
                        "tool_use_id": "t2",
                        "content": [{"type": "text", "text": "birds"}],
                        "is_error": False,
                    },
                    {"type": "text", "text": "And?"},
                ],
            },
        ]
    )
    assert request.messages[1:] == [
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "A tool.",
            "tool_calls": [
                {
                    "id": "t1",
                    "type": "function",
                    "function": {"name": "look", "arguments": '{"at": "köln"}'},
                },
                {"id": "t2", "type": "function", "function": {"name": "hear", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "sun", "name": "look"},
        {
            "role": "tool",
            "tool_call_id": "t2",
            "content": [{"type": "text", "text": "birds"}],
            "name": "hear",
        },
        {"role": "user", "content": [{"type": "text", "text": "And?"}]},
    ]


async def test_pictures_of_users_and_tools_go_as_bytes() -> None:
    picture = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
    }
    request = await sent(
        messages=[
            {"role": "user", "content": [picture, {"type": "text", "text": "See?"}]},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t", "name": "n", "input": {}}],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t", "content": [picture]}],
            },
        ]
    )
    assert [medium.data[:4] for medium in request.media] == [b"\x89PNG"] * 2
    assert request.messages[0]["content"][0] == {"type": "image_url", "media": 0}
    assert request.messages[2]["content"] == [{"type": "image_url", "media": 1}]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [*HI, {"role": "assistant", "content": "I be"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages.0.content.0"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "thinking", "thinking": "x", "signature": "s"}],
                    }
                ]
            },
            "messages",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}
                        ],
                    }
                ]
            },
            "messages[0].content[0]",
        ),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"mcp_servers": [{"url": "x"}]}, "mcp_servers"),
    ],
)
async def test_what_cannot_be_served_is_an_error_in_anthropics_shape(
    body: dict[str, Any], param: str
) -> None:
    response = await create(Api(), **body)
    told = response.json()
    assert response.status_code == 400
    assert told["type"] == "error"
    assert told["error"]["type"] == "invalid_request_error"
    assert told["error"]["param"] == param
    assert told["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidRequest("no"), 400, "invalid_request_error"),
        (EngineFailed("broken"), 500, "api_error"),
        (ReplicaLost("gone"), 502, "api_error"),
        (Unavailable("full", code="overloaded", retry_after=3), 529, "overloaded_error"),
        (Unavailable("away", code="draining"), 503, "overloaded_error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_has_the_status_that_anthropics_clients_know(
    error: Any, status: int, kind: str, stream: bool
) -> None:
    api = Api()
    api.gateway.scripts = [error]
    response = await create(api, stream=stream)
    assert response.status_code == status
    assert response.json()["error"]["type"] == kind
    if status in (502, 503, 529):
        assert int(response.headers["retry-after"]) >= 1


async def test_an_unknown_model_and_one_that_loads_are_told_apart() -> None:
    missing = await create(Api(), model="nothing")
    assert (missing.status_code, missing.json()["error"]["type"]) == (404, "not_found_error")
    loading = await create(Api(deployment(state=DeploymentState.LOADING)))
    assert loading.status_code == 503
    assert loading.json()["error"]["loading"]["state"] == "LOADING"


async def test_an_answer_that_breaks_off_ends_with_an_error_event() -> None:
    api = Api()
    api.gateway.scripts = [[[Delta(1, "Hel", [])], EngineFailed("It broke.")]]
    response = await create(api, stream=True)
    name, last = events(response.text)[-1]
    assert name == "error"
    assert last["error"]["type"] == "api_error"
    assert last["error"]["message"] == "It broke."
    assert "message_stop" not in response.text


async def test_silence_is_filled_with_pings_and_a_client_that_leaves_ends_the_work() -> None:
    api = Api(sse_ping_interval=0.01)
    never = asyncio.Event()
    api.gateway.scripts = [[[Delta(1, "Hel", [])], never]]
    body = {"model": "echo", "max_tokens": 9, "messages": HI, "stream": True}
    exchange = Exchange(api.app, "/v1/messages", body)
    async with exchange.running() as task:
        await exchange.receives(b'event: ping\ndata: {"type":"ping"}\n\n')
        exchange.hang_up()
        await asyncio.wait_for(task, 10)
    assert api.gateway.streams[0].left


async def test_keys_are_taken_in_either_header() -> None:
    api = Api(api_key="secret")
    body = {"model": "echo", "max_tokens": 9, "messages": HI}

    async def status(**headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await api.http.post("/v1/messages", json=body, headers=named)).status_code

    assert await status(x_api_key="secret") == 200
    assert await status(authorization="Bearer secret") == 200
    assert await status(authorization="Bearer other", x_api_key="secret") == 200
    assert await status(x_api_key="other") == 401
    refused = await api.http.post("/v1/messages", json=body)
    assert refused.status_code == 401
    assert refused.json()["error"]["type"] == "authentication_error"


async def test_tokens_are_counted_without_an_answer() -> None:
    api = Api()
    response = await api.http.post(
        "/v1/messages/count_tokens", json={"model": "echo", "messages": HI, "system": "S"}
    )
    assert response.json() == {"input_tokens": 5}
    (request,) = api.gateway.requests
    assert isinstance(request, ChatRequest)
    assert request.messages == [{"role": "system", "content": "S"}, *HI]


WEATHER = {
    "name": "weather",
    "description": "Tells it.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
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


async def test_thoughts_text_and_calls_are_blocks() -> None:
    api = Api()
    api.gateway.scripts = [CALLING]
    body = (await create(api, tools=[WEATHER])).json()
    thought, text, first, second = body["content"]
    assert (thought["type"], thought["thinking"]) == ("thinking", "I look.")
    assert thought["signature"]
    assert text == {"type": "text", "text": "Let me see."}
    assert (first["type"], first["name"], first["input"]) == (
        "tool_use",
        "weather",
        {"city": "Köln"},
    )
    assert (second["name"], second["input"]) == ("time", {})
    assert first["id"] != second["id"]
    assert body["stop_reason"] == "tool_use"
    assert body["usage"]["output_tokens_details"] == {"thinking_tokens": 3}


async def test_a_stream_of_thoughts_text_and_calls_opens_and_closes_a_block_for_each() -> None:
    api = Api()
    api.gateway.scripts = [CALLING, CALLING]
    whole = (await create(api, tools=[WEATHER])).json()["content"]
    told = events((await create(api, tools=[WEATHER], stream=True)).text)
    assert [
        (name.removeprefix("content_block_"), one["index"])
        for name, one in told
        if name.startswith("content_block_")
    ] == [
        ("start", 0),
        ("delta", 0),
        ("delta", 0),
        ("delta", 0),
        ("stop", 0),
        ("start", 1),
        ("delta", 1),
        ("stop", 1),
        ("start", 2),
        ("delta", 2),
        ("stop", 2),
        ("start", 3),
        ("delta", 3),
        ("stop", 3),
    ]
    deltas = [one["delta"] for name, one in told if name == "content_block_delta"]
    assert [one["type"] for one in deltas[:4]] == [
        "thinking_delta",
        "thinking_delta",
        "signature_delta",
        "text_delta",
    ]
    assert deltas[2]["signature"] == whole[0]["signature"]
    assert [json.loads(one["partial_json"]) for one in deltas[4:]] == [{"city": "Köln"}, {}]
    started = [one["content_block"] for name, one in told if name == "content_block_start"]
    assert [one["type"] for one in started] == ["thinking", "text", "tool_use", "tool_use"]
    assert started[2]["input"] == {}


async def test_a_stream_tells_the_pieces_of_calls_as_they_come() -> None:
    api = Api()
    pieces = [("weather", ""), ("", '{"city":'), ("", ' "Köln"}'), ("time", ""), ("", "{}")]
    script: Any = [
        [MessageDelta(1, "", [1], (), "", (ToolCall(name, arguments),))]
        for name, arguments in pieces
    ]
    api.gateway.scripts = [[*script, [Finished(1, "tool_calls", Usage(5, 9, 0, 0))]]]
    options = {"stream_options": {"tool_call_deltas": True}}
    told = events((await create(api, tools=[WEATHER], stream=True, **options)).text)
    (request,) = api.gateway.requests
    assert request.call_deltas
    assert [
        (name.removeprefix("content_block_"), one["index"])
        for name, one in told
        if name.startswith("content_block_")
    ] == [
        ("start", 0),
        ("delta", 0),
        ("delta", 0),
        ("stop", 0),
        ("start", 1),
        ("delta", 1),
        ("stop", 1),
    ]
    deltas = [one["delta"] for name, one in told if name == "content_block_delta"]
    assert [one["partial_json"] for one in deltas] == ['{"city":', ' "Köln"}', "{}"]


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
    kinds = [one["content_block"]["type"] for name, one in told if name == "content_block_start"]
    assert kinds == ["tool_use", "text", "tool_use"]
    deltas = [one for name, one in told if name == "content_block_delta"]
    pieces = [one["delta"].get("partial_json", one["delta"].get("text")) for one in deltas]
    assert pieces == ['{"city":', '"Köln"}', "And", "{}"]
    assert [one["index"] for one in deltas] == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("choice", "wanted", "name"),
    [
        ({"type": "auto"}, "auto", ""),
        ({"type": "any"}, "required", ""),
        ({"type": "none"}, "none", ""),
        ({"type": "tool", "name": "weather"}, "named", "weather"),
    ],
)
async def test_tools_and_the_choice_among_them_reach_the_model(
    choice: dict[str, Any], wanted: str, name: str
) -> None:
    request = await sent(tools=[WEATHER], tool_choice={**choice, "disable_parallel_tool_use": True})
    assert request.tools == [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "Tells it.",
                "parameters": WEATHER["input_schema"],
            },
        }
    ]
    assert (request.tool_choice, request.tool_name) == (wanted, name)
    assert request.parallel_tool_calls is False
