"""POST /v1/completions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.api.fakes import Api, answer
from xinfer.errors import EngineFailed
from xinfer.types.event import Usage

pytestmark = pytest.mark.anyio


def _choices(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


async def test_a_whole_answer_has_openais_shape() -> None:
    body = (await Api().complete()).json()
    assert body["object"] == "text_completion"
    assert body["choices"] == [
        {"index": 0, "text": "Hello there", "logprobs": None, "finish_reason": "stop"}
    ]
    assert body["usage"]["total_tokens"] == 7


async def test_a_stream_ends_with_done_and_its_usage() -> None:
    chunks = _choices((await Api().complete(stream=True)).text)
    assert [chunk["choices"][0]["text"] for chunk in chunks] == ["Hello", " there", ""]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["completion_tokens"] == 2
    assert all("usage" not in chunk for chunk in chunks[:-1])


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Hi", ["Hi"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2, 3], [[1, 2, 3]]),
        ([[1], [2, 3]], [[1], [2, 3]]),
    ],
)
async def test_prompts_are_texts_or_token_ids(prompt: Any, expected: list[Any]) -> None:
    api = Api()
    body = (await api.complete(prompt=prompt, echo=True)).json()
    assert [request.prompt for request in api.gateway.requests] == expected
    assert all(request.echo for request in api.gateway.requests)
    assert [choice["index"] for choice in body["choices"]] == list(range(len(expected)))


@pytest.mark.parametrize("prompt", [[], {}, 5, [1, "a"], [[], ["a"]], [-1], [True, 1.5], None])
async def test_anything_else_is_refused_by_name(prompt: Any) -> None:
    response = await Api().complete(prompt=prompt)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "prompt"


async def test_the_usage_of_several_prompts_is_told_once() -> None:
    api = Api()
    usage = Usage(3, 4, 0)
    for include in (False, True):
        api.gateway.scripts = [answer("x", usage=usage), answer("y", usage=usage)]
        response = await api.complete(
            prompt=["a", "b"], stream=True, stream_options={"include_usage": include}
        )
        chunks = _choices(response.text)
        told = [chunk for chunk in chunks if chunk.get("usage")]
        assert told == [chunks[-1]]
        assert told[0]["usage"]["total_tokens"] == 14
        texts = [(c["index"], c["text"]) for chunk in chunks for c in chunk["choices"]]
        assert texts == [(0, "x"), (0, ""), (1, "y"), (1, "")]


async def test_an_error_of_one_prompt_fails_the_whole() -> None:
    api = Api()
    api.gateway.scripts = [answer("x"), EngineFailed("It broke.")]
    assert (await api.complete(prompt=["a", "b"])).status_code == 500
    api.gateway.scripts = [answer("x"), EngineFailed("It broke.")]
    response = await api.complete(prompt=["a", "b"], stream=True)
    assert "It broke." in response.text
    assert "[DONE]" not in response.text
