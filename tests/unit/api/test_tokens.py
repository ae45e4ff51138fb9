"""POST /tokenize and /detokenize, in vLLM's words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api.fakes import Api, deployment
from xinfer.api.schemas.encode import MAX_SPELLED
from xinfer.types.deployment import DeploymentState
from xinfer.types.request import ChatRequest, CompletionRequest

pytestmark = pytest.mark.anyio

HI = [{"role": "user", "content": "Hi"}]


async def test_a_text_is_made_tokens() -> None:
    api = Api()
    response = await api.http.post("/tokenize", json={"model": "echo", "prompt": "Hi", "foo": 1})
    assert response.json() == {
        "count": 5,
        "max_model_len": 2048,
        "tokens": [1, 2, 3, 4, 5],
        "token_strs": None,
    }
    assert response.headers["x-ignored-fields"] == "foo"
    assert api.gateway.requests == [CompletionRequest(prompt="Hi")]


async def test_a_text_is_made_tokens_by_itself_and_named() -> None:
    response = await Api().http.post(
        "/tokenize",
        json={
            "model": "echo",
            "prompt": "Hi",
            "add_special_tokens": False,
            "return_token_strs": True,
        },
    )
    assert response.json()["tokens"] == [2, 3, 4, 5]
    assert response.json()["token_strs"] == ["token 2", "token 3", "token 4", "token 5"]


async def test_a_conversation_is_made_tokens_as_the_model_would_see_it() -> None:
    api = Api()
    response = await api.http.post(
        "/tokenize",
        json={
            "model": "echo",
            "messages": HI,
            "add_special_tokens": False,
            "chat_template_kwargs": {"enable_thinking": False},
        },
    )
    assert response.status_code == 200
    (request,) = api.gateway.requests
    assert isinstance(request, ChatRequest)
    assert request.messages == HI
    assert request.template_kwargs == {"enable_thinking": False}


async def test_tokens_are_made_text() -> None:
    response = await Api().http.post("/detokenize", json={"model": "echo", "tokens": [7, 8]})
    assert response.json() == {"prompt": "7 8"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": "a", "messages": HI}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": HI, "add_special_tokens": True}, "add_special_tokens"),
        ({"messages": HI, "add_generation_prompt": False}, "add_generation_prompt"),
        ({"messages": HI, "continue_final_message": True}, "continue_final_message"),
        ({"messages": HI, "chat_template": "x"}, "chat_template"),
    ],
)
async def test_what_cannot_be_made_tokens_is_refused(body: dict[str, Any], param: str) -> None:
    response = await Api().http.post("/tokenize", json={"model": "echo", **body})
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


async def test_too_many_tokens_are_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api()

    async def many(*_: Any, **__: Any) -> list[int]:
        return [1] * (MAX_SPELLED + 1)

    monkeypatch.setattr(api.gateway, "tokenize", many)
    response = await api.http.post(
        "/tokenize", json={"model": "echo", "prompt": "x", "return_token_strs": True}
    )
    assert (response.status_code, response.json()["error"]["param"]) == (400, "prompt")


@pytest.mark.parametrize("tokens", [[-1], ["a"], [1.5], None])
async def test_what_is_no_token_is_refused(tokens: Any) -> None:
    response = await Api().http.post("/detokenize", json={"model": "echo", "tokens": tokens})
    assert response.status_code == 400


@pytest.mark.parametrize(
    ("route", "body"), [("/tokenize", {"prompt": "a"}), ("/detokenize", {"tokens": [1]})]
)
async def test_models_of_another_type_and_those_that_are_not_there_are_told(
    route: str, body: dict[str, Any]
) -> None:
    encoder = deployment("encoder", type="embedding")
    api = Api(encoder, deployment(state=DeploymentState.LOADING))

    async def status(model: str) -> tuple[int, str]:
        response = await api.http.post(route, json={"model": model, **body})
        return response.status_code, response.json()["error"]["code"]

    assert await status("nothing") == (404, "model_not_found")
    assert await status("encoder") == (400, "invalid_request")
    assert await status("echo") == (503, "model_loading")
