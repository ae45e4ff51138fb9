"""POST /v1/chat/completions: what goes down to the gateway and what comes back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import structs

from tests.unit.api.fakes import USAGE, Api, answer, deployment
from xinfer.api.render.calls import CallNames
from xinfer.errors import InvalidRequest, ReplicaLost, Unavailable
from xinfer.types.deployment import DeploymentState
from xinfer.types.event import Delta, Finished, MessageDelta, ToolCall, Usage
from xinfer.types.request import Constraint, Sampling

pytestmark = pytest.mark.anyio


async def test_a_whole_answer_has_openais_shape() -> None:
    api = Api()
    response = await api.chat()
    body = response.json()
    assert response.status_code == 200
    assert body["id"] == "chatcmpl-" + response.headers["x-request-id"]
    assert body["object"] == "chat.completion"
    assert body["model"] == "echo"
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello there"},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert body["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


async def test_a_stream_is_exact_to_the_byte() -> None:
    api = Api()
    api.gateway.scripts = [answer("Hi", ' "you"\n')]
    response = await api.chat(stream=True)
    created = json.loads(response.text.split("\n\n")[0].removeprefix("data: "))["created"]
    head = (
        f'data: {{"id":"chatcmpl-{response.headers["x-request-id"]}",'
        f'"object":"chat.completion.chunk","created":{created},"model":"echo","choices":['
        '{"index":0,"delta":'
    )
    open_end = ',"logprobs":null,"finish_reason":null}]}\n\n'
    assert response.text == (
        head
        + '{"content":"","role":"assistant"}'
        + open_end
        + head
        + '{"content":"Hi"}'
        + open_end
        + head
        + '{"content":" \\"you\\"\\n"}'
        + open_end
        + head
        + '{},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":5,'
        '"completion_tokens":2,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":1},'
        '"completion_tokens_details":{"reasoning_tokens":0}}}\n\n'
        "data: [DONE]\n\n"
    )
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"


def _chunks(text: str) -> list[dict[str, object]]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


async def test_without_include_usage_only_the_last_choice_tells_it() -> None:
    chunks = _chunks((await Api().chat(stream=True)).text)
    assert ["usage" in chunk for chunk in chunks] == [False, False, False, True]
    assert chunks[-1]["choices"]


async def test_with_include_usage_only_the_chunk_without_choices_tells_it() -> None:
    response = await Api().chat(stream=True, stream_options={"include_usage": True})
    chunks = _chunks(response.text)
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * 4
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 7  # type: ignore[index]


async def test_a_long_delta_is_split_into_lines_that_every_reader_takes() -> None:
    api = Api()
    text = "\x01中" * 50_000
    api.gateway.scripts = [answer(text)]
    lines = (await api.chat(stream=True)).text.split("\n\n")
    assert max(len(line.encode()) for line in lines) < 64 * 1024
    parts = [json.loads(line.removeprefix("data: ")) for line in lines if "content" in line]
    assert "".join(part["choices"][0]["delta"]["content"] for part in parts) == text


async def test_all_events_of_a_batch_go_out_and_empty_text_makes_no_chunk() -> None:
    api = Api()
    api.gateway.scripts = [
        [[Delta(1, "a", []), Delta(1, "", []), Delta(1, "b", [])], [Finished(1, "length", USAGE)]]
    ]
    chunks = _chunks((await api.chat(stream=True)).text)
    deltas = [chunk["choices"][0]["delta"].get("content") for chunk in chunks]  # type: ignore[index]
    assert deltas == ["", "a", "b", None]
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"  # type: ignore[index]


async def test_an_error_before_the_first_byte_is_a_status() -> None:
    api = Api()
    for stream in (False, True):
        api.gateway.scripts = [Unavailable("The model is full.", retry_after=2.5)]
        response = await api.chat(stream=stream)
        assert response.status_code == 503
        assert response.headers["retry-after"] == "3"
        assert response.json()["error"]["code"] == "overloaded"
        assert response.json()["detail"] == "The model is full."


async def test_an_error_after_the_first_byte_is_the_last_frame_without_done() -> None:
    api = Api()
    api.gateway.scripts = [[[Delta(1, "Hel", [])], ReplicaLost("It died.", retry_after=1)]]
    response = await api.chat(stream=True)
    assert response.status_code == 200
    assert "[DONE]" not in response.text
    last = json.loads(response.text.rstrip().rpartition("\n\n")[2].removeprefix("data: "))
    assert last["error"]["code"] == "replica_lost"
    assert last["detail"] == "It died."


async def test_a_stream_that_just_stops_is_not_taken_for_complete() -> None:
    api = Api()
    api.gateway.scripts = [[[Delta(1, "Hel", [])]]]
    response = await api.chat(stream=True)
    assert "[DONE]" not in response.text
    assert '"engine_error"' in response.text


async def test_the_stream_is_left_at_its_end() -> None:
    api = Api()
    await api.chat(stream=True)
    assert api.gateway.streams[0].left


async def test_parameters_reach_the_request_and_what_is_left_out_stays_out() -> None:
    api = Api()
    await api.chat(
        temperature=0.5, top_p=0.9, top_k=20, min_p=0.1, seed=7, max_tokens=9, stop="END",
        presence_penalty=1, frequency_penalty=-1, repetition_penalty=1.1,
        logit_bias={"42": -100}, stop_token_ids=[3],
    )  # fmt: skip
    await api.chat(max_tokens=9, max_completion_tokens=4, stop=["a", "b"])
    first, second = api.gateway.requests
    assert first.sampling == Sampling(
        temperature=0.5, top_p=0.9, top_k=20, min_p=0.1, seed=7, max_tokens=9,
        presence_penalty=1, frequency_penalty=-1, repetition_penalty=1.1, logit_bias={42: -100},
    )  # fmt: skip
    assert (first.stop, first.stop_token_ids) == (("END",), (3,))
    assert second.sampling == Sampling(max_tokens=4)
    assert second.stop == ("a", "b")


async def test_llama_cpps_samplers_reach_the_request_under_their_own_names() -> None:
    api = Api()
    samplers = {
        "typical_p": 0.9, "top_n_sigma": 1.5, "xtc_probability": 0.5, "xtc_threshold": 0.2,
        "mirostat": 2, "mirostat_tau": 4.0, "mirostat_eta": 0.2, "dry_multiplier": 0.8,
        "dry_base": 1.5, "dry_allowed_length": 3, "dry_penalty_last_n": -1, "repeat_last_n": 0,
    }  # fmt: skip
    breakers = ["\n", ":"]
    response = await api.chat(**samplers, dry_sequence_breakers=breakers)
    assert "x-ignored-fields" not in response.headers
    assert api.gateway.requests[0].sampling == Sampling(
        **samplers,  # type: ignore[arg-type]
        dry_sequence_breakers=tuple(breakers),
    )


async def test_repeat_penalty_is_another_name_of_repetition_penalty_which_wins() -> None:
    api = Api()
    await api.chat(repeat_penalty=1.2)
    await api.chat(repeat_penalty=1.2, repetition_penalty=1.0)
    told = [request.sampling.repetition_penalty for request in api.gateway.requests]
    assert told == [1.2, 1.0]


async def test_a_grammar_and_an_adapter_reach_the_request() -> None:
    api = Api()
    await api.chat(guided_grammar='root ::= "a"', lora_name="mine")
    await api.complete(guided_grammar='root ::= "a"', lora_name="mine")
    await api.chat(guided_grammar="", lora_name="")
    asked = [(request.constraint, request.adapter) for request in api.gateway.requests]
    constraint = Constraint("grammar", 'root ::= "a"', "guided_grammar")
    assert asked == [(constraint, "mine"), (constraint, "mine"), (None, None)]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"enable_thinking": True}, {"enable_thinking": True, "thinking": True}),
        ({"thinking": False}, {"enable_thinking": False, "thinking": False}),
        ({"thinking": {"type": "enabled"}}, {"enable_thinking": True, "thinking": True}),
        ({"thinking": True, "enable_thinking": False}, {"enable_thinking": False,
                                                        "thinking": False}),
        ({"chat_template_kwargs": {"a": 1}}, {"a": 1}),
        ({"chat_template_kwargs": '{"enable_thinking": false}'}, {"enable_thinking": False}),
        ({"chat_template_kwargs": {"enable_thinking": False}, "thinking": True},
         {"enable_thinking": False, "thinking": True}),
        ({"kwargs": '{"enable_thinking": true}'}, {"enable_thinking": True, "thinking": True}),
        ({}, {}),
    ],
)  # fmt: skip
async def test_ways_of_asking_to_think_end_in_the_templates_variables(
    sent: dict[str, object], expected: dict[str, object]
) -> None:
    api = Api()
    assert (await api.chat(**sent)).status_code == 200
    assert api.gateway.requests[0].template_kwargs == expected


async def test_the_top_level_wins_over_kwargs() -> None:
    api = Api()
    await api.chat(temperature=0.1, kwargs='{"temperature": 0.9, "top_p": 0.5}')
    sampling = api.gateway.requests[0].sampling
    assert (sampling.temperature, sampling.top_p) == (0.1, 0.5)


async def test_older_message_forms_reach_the_template_in_the_newer_one() -> None:
    api = Api()
    call = {"name": "f", "arguments": "{}"}
    await api.chat(
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": "", "function_call": call},
            {"role": "tool", "tool_call_id": "call_9", "name": "f", "content": "1"},
            {"role": "function", "name": "f", "content": "2"},
            {"role": "assistant", "tool_calls": [{"id": "x", "type": "function",
                                                  "function": call}]},
        ]
    )  # fmt: skip
    assert api.gateway.requests[0].messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call_9", "type": "function", "function": call}],
        },
        {"role": "tool", "tool_call_id": "call_9", "name": "f", "content": "1"},
        {"role": "tool", "name": "f", "content": "2", "tool_call_id": "call_9"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "x", "type": "function", "function": call}],
        },
    ]


async def test_a_result_in_the_older_form_has_the_id_of_its_call() -> None:
    api = Api()
    call = {"name": "f", "arguments": "{}"}
    await api.chat(
        messages=[
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": None, "function_call": call},
            {"role": "function", "name": "f", "content": None},
        ]
    )
    _, called, result = api.gateway.requests[0].messages
    assert called["tool_calls"][0]["id"] == result["tool_call_id"]
    assert (result["role"], result["content"]) == ("tool", "")


async def test_a_result_may_have_pictures() -> None:
    api = Api(deployment(abilities=("chat", "tools", "vision")))
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    url = "data:image/png;base64,aGk="
    content = [
        {"type": "text", "text": "Seen:"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    response = await api.chat(
        messages=[
            {"role": "user", "content": "Look."},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": content},
        ]
    )
    assert response.status_code == 200, response.text
    (request,) = api.gateway.requests
    assert [medium.data for medium in request.media] == [b"hi"]
    assert request.media[0].where == "messages[2].content[1]"
    assert request.messages[2]["content"][1] == {"type": "image_url", "media": 0}


async def test_unknown_model_offers_the_nearest_name() -> None:
    response = await Api().chat(model="ehco")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
    assert "'echo'" in response.json()["detail"]


async def test_a_model_of_another_type_is_refused_by_name_of_the_field() -> None:
    api = Api(deployment("bge", type="embedding"), deployment("base", abilities=("generate",)))
    for model in ("bge", "base"):
        response = await api.chat(model=model)
        assert response.status_code == 400
        assert response.json()["error"]["param"] == "model"
        assert model in response.json()["detail"]


async def test_a_loading_model_says_how_far_it_is() -> None:
    response = await Api(deployment(state=DeploymentState.LOADING)).chat()
    assert response.status_code == 503
    assert response.headers["retry-after"]
    error = response.json()["error"]
    assert error["code"] == "model_loading"
    assert error["loading"] == {"state": "LOADING", "progress": 0.25, "eta_seconds": None}


async def test_a_failed_model_says_why() -> None:
    failed = deployment(state=DeploymentState.ERROR, failure=InvalidRequest("No such file."))
    response = await Api(failed).chat()
    assert response.status_code == 503
    assert "No such file." in response.json()["detail"]


WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALLS = (ToolCall("weather", '{"city": "東京"}'), ToolCall("weather", "{}"))
MADE: list[Delta | Finished] = [
    MessageDelta(0, "", [1], (), "Hm."),
    MessageDelta(0, "Let me see.", [2], ()),
    MessageDelta(0, "", [3], (), "", CALLS[:1]),
    MessageDelta(0, "", [4], (), "", CALLS[1:]),
    Finished(0, "tool_calls", Usage(5, 4, 0, 1)),
]


def each(events: list[Delta | Finished]) -> list[list[Delta | Finished]]:
    """A script in which they come one by one."""
    return [[event] for event in events]


def deltas(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line)["choices"][0] for line in lines]


async def test_a_whole_answer_has_thoughts_and_calls_beside_its_text() -> None:
    api = Api()
    api.gateway.scripts = [each(MADE)]
    body = (await api.chat(tools=[WEATHER])).json()
    (choice,) = body["choices"]
    message = choice["message"]
    ids = [call.pop("id") for call in message["tool_calls"]]
    assert len(set(ids)) == 2
    assert message == {
        "role": "assistant",
        "content": "Let me see.",
        "reasoning_content": "Hm.",
        "tool_calls": [
            {"type": "function", "function": {"name": "weather", "arguments": '{"city": "東京"}'}},
            {"type": "function", "function": {"name": "weather", "arguments": "{}"}},
        ],
    }
    assert choice["finish_reason"] == "tool_calls"
    assert body["usage"]["completion_tokens_details"] == {"reasoning_tokens": 1}


async def test_a_stream_tells_calls_whole_with_the_finish_reason() -> None:
    api = Api()
    api.gateway.scripts = [each(MADE)]
    choices = deltas((await api.chat(tools=[WEATHER], stream=True)).text)
    assert [choice["finish_reason"] for choice in choices] == [None, None, None, "tool_calls"]
    assert choices[1]["delta"] == {"reasoning_content": "Hm."}
    assert choices[2]["delta"] == {"content": "Let me see."}
    told = choices[3]["delta"]["tool_calls"]
    assert [(call["index"], call["function"]["arguments"]) for call in told] == [
        (0, '{"city": "東京"}'),
        (1, "{}"),
    ]


@pytest.mark.parametrize("by", ["request", "launch"])
async def test_a_stream_tells_calls_in_deltas_where_that_is_asked_for(by: str) -> None:
    status = deployment()
    spec = structs.replace(status.deployment.spec, tool_call_deltas=by == "launch")
    status = structs.replace(status, deployment=structs.replace(status.deployment, spec=spec))
    api = Api(status)
    api.gateway.scripts = [each(MADE), each(MADE)]
    options = {"stream_options": {"tool_call_deltas": True}} if by == "request" else {}
    told = deltas((await api.chat(tools=[WEATHER], stream=True, **options)).text)
    assert told[-1]["delta"] == {}
    assert told[-1]["finish_reason"] == "tool_calls"
    parts = [call for choice in told for call in choice["delta"].get("tool_calls", ())]
    assert [part["index"] for part in parts] == [0, 0, 1, 1]
    assert [part["function"]["arguments"] for part in parts] == ["", '{"city": "東京"}', "", "{}"]
    assert [part["function"].get("name") for part in parts] == ["weather", None, "weather", None]
    whole = {"stream_options": {"tool_call_deltas": False}}
    last = deltas((await api.chat(tools=[WEATHER], stream=True, **whole)).text)[-1]
    assert [call["function"]["arguments"] for call in last["delta"]["tool_calls"]] == [
        call.arguments for call in CALLS
    ]


PIECES = (
    ToolCall("weather", ""),
    ToolCall("", '{"city": "東'),
    ToolCall("", '京"}'),
    ToolCall("weather", ""),
    ToolCall("", "{}"),
)
GROWN: list[Delta | Finished] = [
    *(MessageDelta(0, "", [3], (), "", (piece,)) for piece in PIECES),
    Finished(0, "tool_calls", Usage(5, 4, 0, 1)),
]


async def test_a_stream_tells_the_pieces_of_calls_as_they_come() -> None:
    api = Api()
    api.gateway.scripts = [each(GROWN), each(GROWN)]
    options = {"stream_options": {"tool_call_deltas": True}}
    told = deltas((await api.chat(tools=[WEATHER], stream=True, **options)).text)
    parts = [call for choice in told for call in choice["delta"].get("tool_calls", ())]
    assert [part["index"] for part in parts] == [0, 0, 0, 1, 1]
    assert [part["function"].get("name") for part in parts] == [
        "weather", None, None, "weather", None,
    ]  # fmt: skip
    assert [part["function"]["arguments"] for part in parts] == [p.arguments for p in PIECES]
    assert len({part["id"] for part in parts if "id" in part}) == 2
    legacy = {"functions": [WEATHER["function"]], **options}
    told = deltas((await api.chat(stream=True, **legacy)).text)
    parts = [
        choice["delta"]["function_call"]
        for choice in told
        if choice["delta"].keys() - {"role", "content"}
    ]
    assert parts[:3] == [
        {"name": "weather", "arguments": ""},
        {"arguments": '{"city": "東'},
        {"arguments": '京"}'},
    ]


@pytest.mark.parametrize("wanted", [True, False])
async def test_only_a_stream_that_wants_them_asks_for_pieces_of_calls(wanted: bool) -> None:
    api = Api()
    api.gateway.scripts = [each(MADE), each(MADE)]
    options = {"stream_options": {"tool_call_deltas": wanted}}
    await api.chat(tools=[WEATHER], stream=True, **options)
    await api.chat(tools=[WEATHER], **options)
    assert [request.call_deltas for request in api.gateway.requests] == [wanted, False]


async def test_ids_of_calls_follow_from_the_request() -> None:
    names = [CallNames("r", 1), CallNames("r", 1), CallNames("r", 2), CallNames("s", 1)]
    assert names[0].id(0) == names[1].id(0)
    assert len({name.id(index) for name in names[1:] for index in (0, 1)}) == 6


@pytest.mark.parametrize("stream", [False, True])
async def test_the_older_form_is_answered_in_the_older_form(stream: bool) -> None:
    api = Api()
    api.gateway.scripts = [each([*MADE[:3], MADE[-1]])]
    response = await api.chat(
        functions=[WEATHER["function"]], function_call={"name": "weather"}, stream=stream
    )
    choice = deltas(response.text)[-1] if stream else response.json()["choices"][0]
    told = choice["delta" if stream else "message"]
    assert told["function_call"] == {"name": "weather", "arguments": '{"city": "東京"}'}
    assert "tool_calls" not in told
    assert choice["finish_reason"] == "function_call"
    (request,) = api.gateway.requests
    assert (request.tool_choice, request.tool_name) == ("named", "weather")
    assert request.tools == [WEATHER]
    assert not request.parallel_tool_calls


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({}, "auto"),
        ({"tool_choice": "none"}, "none"),
        ({"tool_choice": "required"}, "required"),
        ({"tool_choice": {"type": "function", "function": {"name": "weather"}}}, "named"),
    ],
)
async def test_the_choice_of_a_function_reaches_the_replica(
    fields: dict[str, Any], choice: str
) -> None:
    api = Api()
    assert (await api.chat(tools=[WEATHER], **fields)).status_code == 200
    assert api.gateway.requests[0].tool_choice == choice


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"function": {"name": "f"}}}, "tool_choice"),
        ({"tools": [WEATHER, WEATHER]}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"tools": [WEATHER], "tool_choice": "any"}, "tool_choice"),
        ({"functions": [{"name": "a"}], "function_call": {"name": "b"}}, "function_call"),
    ],
)
async def test_wrong_functions_are_refused_by_name(fields: dict[str, Any], param: str) -> None:
    response = await Api().chat(**fields)
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith(param)
