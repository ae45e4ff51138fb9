"""`n` and `best_of`: several answers to a prompt, in chats and in completions."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.unit.api.fakes import Api, Exchange, Script, answer, deployment
from xinfer.errors import EngineFailed, RateLimited, Unavailable
from xinfer.types.deployment import DeploymentStatus
from xinfer.types.event import (
    Delta,
    Finished,
    LogprobDelta,
    MessageDelta,
    TokenLogprob,
    ToolCall,
    Usage,
)
from xinfer.types.request import ChatRequest, CompletionRequest

pytestmark = pytest.mark.anyio

USAGE = Usage(prompt_tokens=10, completion_tokens=3, cached_tokens=4, reasoning_tokens=1)
TOTAL = {
    "prompt_tokens": 10,
    "completion_tokens": 9,
    "total_tokens": 19,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 3},
}


def chunks(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def scripts(*texts: str) -> list[Script | Any]:
    return [answer(text, usage=USAGE) for text in texts]


def likely(text: str, *logprobs: float) -> Script:
    told = tuple(TokenLogprob(b"x", one) for one in logprobs)
    return [[LogprobDelta(1, text, [], told)], [Finished(1, "stop", USAGE)]]


async def test_a_chat_has_as_many_choices_and_counts_its_prompt_once() -> None:
    api = Api()
    api.gateway.scripts = scripts("a", "b", "c")
    body = (await api.chat(n=3, seed=5)).json()
    assert [(c["index"], c["message"]["content"]) for c in body["choices"]] == [
        (0, "a"), (1, "b"), (2, "c"),
    ]  # fmt: skip
    assert body["usage"] == TOTAL
    requests = [one for one in api.gateway.requests if isinstance(one, ChatRequest)]
    seeds = [one.sampling.seed for one in requests]
    assert seeds[0] == 5
    assert len(set(seeds)) == 3
    assert len(set(api.gateway.request_ids)) == 1


@pytest.mark.parametrize("include", [False, True])
async def test_a_stream_of_choices_tells_each_end_and_the_usage_once(include: bool) -> None:
    api = Api()
    api.gateway.scripts = scripts("a", "b", "c")
    answered = await api.chat(n=3, stream=True, stream_options={"include_usage": include})
    told = chunks(answered.text)
    choices = [choice for chunk in told for choice in chunk["choices"]]
    for index, text in enumerate("abc"):
        mine = [choice for choice in choices if choice["index"] == index]
        assert mine[0]["delta"] == {"content": "", "role": "assistant"}
        assert "".join(choice["delta"].get("content", "") for choice in mine) == text
        ends = [choice["finish_reason"] for choice in mine]
        assert ends == [None] * (len(mine) - 1) + ["stop"]
    assert [chunk for chunk in told if chunk.get("usage")] == [told[-1]]
    assert told[-1]["usage"] == TOTAL
    assert bool(told[-1]["choices"]) is not include


async def test_choices_have_calls_with_ids_of_their_own() -> None:
    api = Api()
    call = ToolCall("f", "{}")
    called: Script = [
        [MessageDelta(1, "", [], (), calls=(call,))],
        [Finished(1, "tool_calls", USAGE)],
    ]
    tools = [{"type": "function", "function": {"name": "f"}}]
    for stream in (False, True):
        api.gateway.scripts = [called, called]
        answered = await api.chat(n=2, stream=stream, tools=tools)
        if stream:
            made = [
                c["delta"].get("tool_calls") for m in chunks(answered.text) for c in m["choices"]
            ]
        else:
            made = [c["message"]["tool_calls"] for c in answered.json()["choices"]]
        ids = {calls[0]["id"] for calls in made if calls}
        assert len(ids) == 2


async def test_completions_number_their_choices_by_prompt_and_answer() -> None:
    for stream in (False, True):
        api = Api()
        api.gateway.scripts = scripts("a", "b", "c", "d")
        answered = await api.complete(prompt=["x", "y"], n=2, seed=1, stream=stream)
        if stream:
            told = chunks(answered.text)
            texts = dict.fromkeys(range(4), "")
            for choice in (choice for chunk in told for choice in chunk["choices"]):
                texts[choice["index"]] += choice["text"]
            usage = [chunk["usage"] for chunk in told if chunk.get("usage")]
            assert usage == [told[-1]["usage"]]
        else:
            body = answered.json()
            texts = {choice["index"]: choice["text"] for choice in body["choices"]}
            usage = [body["usage"]]
        by_prompt: dict[Any, list[Any]] = {}
        for request in api.gateway.requests:
            assert isinstance(request, CompletionRequest)
            by_prompt.setdefault(request.prompt, []).append(request.sampling.seed)
        assert list(by_prompt) == ["x", "y"]
        assert by_prompt["x"] == by_prompt["y"]
        assert len(set(by_prompt["x"])) == 2
        assert sorted(texts) == [0, 1, 2, 3]
        assert sorted(texts.values()) == ["a", "b", "c", "d"]
        if stream:
            assert texts == {0: "a", 1: "b", 2: "c", 3: "d"}
        assert (usage[0]["prompt_tokens"], usage[0]["completion_tokens"]) == (20, 12)


async def test_logprobs_stand_with_their_choices() -> None:
    api = Api()
    for stream in (False, True):
        api.gateway.scripts = [likely("a", -1.0), likely("b", -2.0)]
        answered = await api.chat(n=2, logprobs=True, stream=stream)
        choices = (
            [c for chunk in chunks(answered.text) for c in chunk["choices"] if c["logprobs"]]
            if stream
            else answered.json()["choices"]
        )
        found = [(c["index"], c["logprobs"]["content"][0]["logprob"]) for c in choices]
        assert sorted(found) == [(0, -1.0), (1, -2.0)]


@pytest.mark.parametrize("stream", [False, True])
async def test_one_choice_that_fails_fails_the_request(stream: bool) -> None:
    api = Api()
    api.gateway.scripts = [*scripts("a"), [EngineFailed("It broke.")], *scripts("c")]
    answered = await api.chat(n=3, stream=stream)
    assert "It broke." in answered.text
    if stream:
        assert "[DONE]" not in answered.text
        assert json.loads(answered.text.rstrip().rpartition("data: ")[2])["error"]
    else:
        assert answered.status_code == 500


@pytest.mark.parametrize("stream", [False, True])
async def test_a_first_choice_that_is_refused_is_a_status(stream: bool) -> None:
    api = Api()
    api.gateway.scripts = [RateLimited("Too many.")]
    assert (await api.chat(n=2, stream=stream)).status_code == 429
    assert len(api.gateway.requests) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_choice_that_finds_no_place_is_a_status_and_gives_back_those_of_the_others(
    stream: bool,
) -> None:
    api = Api()
    full = Unavailable("It is busy.", retry_after=1.0)
    for ask in (api.chat, api.complete):
        api.gateway.scripts = [*scripts("a", "b"), full]
        refused = await ask(n=3, stream=stream)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
    assert [place.left for place in api.gateway.places] == [True] * 4
    assert api.gateway.streams == []


@pytest.mark.parametrize(
    ("model", "most"),
    [
        (deployment(max_queue=2), 6),
        (deployment(max_queue=2, replicas=2), 10),
        (deployment(max_queue=100, request_limits=5), 5),
    ],
)
async def test_more_choices_than_the_model_ever_has_places_for_are_refused_with_their_number(
    model: DeploymentStatus, most: int
) -> None:
    api = Api(model)
    for ask in (api.chat, api.complete):
        assert (await ask(n=most)).status_code == 200
        refused = await ask(n=most + 1)
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == "n"
        assert f"this model has {most} for" in refused.json()["error"]["message"]
    assert len(api.gateway.requests) == 2 * most


async def test_prompts_of_one_request_do_not_take_each_others_places() -> None:
    api = Api(deployment(max_queue=0))
    api.gateway.admission = asyncio.Event()
    asked = asyncio.create_task(api.complete(prompt=["x"] * 5, n=2))
    await asyncio.wait_for(api.gateway.waiting.wait(), 30)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(api.gateway.requests) == 2  # for 4 places: the first of each prompt's two
    api.gateway.admission.set()
    assert len((await asked).json()["choices"]) == 10


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_a_client_who_leaves_ends_all_choices(path: str) -> None:
    api = Api()
    never = asyncio.Event()
    api.gateway.scripts = [
        [[Delta(1, "a", [])], never],
        [[Delta(1, "b", [])], never],
    ]
    body = {"model": "echo", "messages": [{"role": "user", "content": "Hi"}], "prompt": "Hi"}
    exchange = Exchange(api.app, path, {**body, "n": 2, "stream": True})
    async with exchange.running() as task:
        await exchange.receives(b'"b"')
        exchange.hang_up()
        await asyncio.wait_for(task, 10)
    assert [stream.left for stream in api.gateway.streams] == [True, True]


@pytest.mark.parametrize("route", ["chat", "complete"])
async def test_the_number_of_choices_is_bounded_by_a_setting(route: str) -> None:
    api = Api(max_choices=3)
    ask = getattr(api, route)
    assert (await ask(n=3)).status_code == 200
    refused = await ask(n=4)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "n"
    assert "at most 3" in refused.json()["error"]["message"]


async def test_best_of_tells_the_likeliest_and_counts_all() -> None:
    api = Api()
    api.gateway.scripts = [
        likely("poor", -3.0, -3.0),
        likely("best", -0.5),
        likely("good", -1.0, -1.0, -1.0, -1.0),
    ]
    body = (await api.complete(n=2, best_of=3)).json()
    assert [(c["index"], c["text"]) for c in body["choices"]] == [(0, "best"), (1, "good")]
    assert [c["logprobs"] for c in body["choices"]] == [None, None]
    assert body["usage"] == TOTAL
    requests = [one for one in api.gateway.requests if isinstance(one, CompletionRequest)]
    assert [one.sampling.logprobs for one in requests] == [0, 0, 0]


async def test_best_of_that_is_no_more_than_n_asks_for_nothing() -> None:
    api = Api()
    body = (await api.complete(n=2, best_of=2, stream=False)).json()
    assert len(body["choices"]) == 2
    requests = [one for one in api.gateway.requests if isinstance(one, CompletionRequest)]
    assert [one.sampling.logprobs for one in requests] == [None, None]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"n": 3, "best_of": 2}, "of at least 3"),
        ({"best_of": 2, "stream": True}, "does not go with `stream`"),
        ({"best_of": 2, "echo": True}, "does not go with `echo`"),
        ({"best_of": 17}, "at most 16"),
        ({"best_of": 0}, "greater than or equal to 1"),
    ],
)
async def test_best_of_that_cannot_be_is_refused_by_name(
    fields: dict[str, Any], reason: str
) -> None:
    api = Api()
    refused = await api.complete(**fields)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "best_of"
    assert reason in refused.json()["error"]["message"]
    assert api.gateway.requests == []


async def test_best_of_needs_an_engine_that_tells_log_probabilities() -> None:
    api = Api(deployment(logprobs=False))
    refused = await api.complete(best_of=2)
    error = refused.json()["error"]
    assert (refused.status_code, error["param"]) == (400, "best_of")
    assert error["code"] == "unsupported_parameter"
    assert api.gateway.requests == []
    assert (await api.complete(n=2, best_of=2)).status_code == 200
