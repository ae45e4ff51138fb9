"""The catalogue over HTTP, and registering models of one's own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.gguf_models import random_llama
from tests.unit.api.fakes import Api
from xinfer.errors import Conflict, Unavailable
from xinfer.types.control import ReadRegistrations, Register, RegisteredModel, Unregister

pytestmark = pytest.mark.anyio

MINE = json.dumps(
    {
        "model_name": "mine",
        "model_ability": ["chat", "vision"],
        "chat_template": "{{ messages }}",
        "stop": ["END"],
        "model_specs": [{"model_id": "me/mine", "model_size_in_billions": 7}],
    }
)


def with_mine() -> Api:
    api = Api()
    api.control.handlers[ReadRegistrations] = lambda _: [RegisteredModel(kind="LLM", text=MINE)]
    return api


async def get(api: Api, path: str, **params: Any) -> Any:
    answer = await api.http.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_built_in_and_registered_models_are_listed_by_name() -> None:
    api = with_mine()
    names = await get(api, "/v1/model_registrations/LLM")
    assert {"model_name": "echo", "is_builtin": True} in names
    assert {"model_name": "mine", "is_builtin": False} in names
    listed = [one["model_name"] for one in names]
    assert listed == sorted(listed, key=str.lower)


async def test_the_detailed_list_has_every_form_of_every_model() -> None:
    detailed = await get(with_mine(), "/v1/model_registrations/LLM", detailed=True)
    by_name = {one["model_name"]: one for one in detailed}
    assert len(by_name) > 100
    (spec,) = by_name["mine"]["model_specs"]
    assert (spec["model_id"], spec["model_size_in_billions"]) == ("me/mine", 7)
    assert spec["cache_status"] is False
    assert all(one["cache_status"] for one in by_name["tiny-chat"]["model_specs"])


@pytest.mark.parametrize("kind", ["embedding", "rerank", "image", "audio"])
async def test_each_type_has_models(kind: str) -> None:
    models = await get(Api(), f"/v1/model_registrations/{kind}", detailed=True)
    assert len(models) > 10
    assert {one["model_type"] for one in models} == {kind}


@pytest.mark.parametrize("kind", ["video", "flexible"])
async def test_xinferences_other_types_have_none(kind: str) -> None:
    assert await get(Api(), f"/v1/model_registrations/{kind}") == []


async def test_one_model_is_described() -> None:
    assert (await get(Api(), "/v1/model_registrations/LLM/ECHO"))["model_name"] == "echo"
    mine = await get(with_mine(), "/v1/model_registrations/LLM/mine")
    assert (mine["is_builtin"], mine["chat_template"]) == (False, "{{ messages }}")


@pytest.mark.parametrize(
    ("path", "status"),
    [("llm", 400), ("LLM/nope", 404), ("embedding/echo", 404), ("LLM/..%2fetc", 404)],
)
async def test_unknown_models_and_types_are_refused(path: str, status: int) -> None:
    assert (await Api().http.get(f"/v1/model_registrations/{path}")).status_code == status


async def test_without_the_supervisor_the_list_is_not_said_to_be_whole() -> None:
    def away(_: ReadRegistrations) -> None:
        raise Unavailable("The control plane does not answer.")

    api = Api()
    api.control.handlers[ReadRegistrations] = away
    assert (await api.http.get("/v1/model_registrations/LLM")).status_code == 503


async def test_a_model_is_registered_and_what_had_no_effect_is_named() -> None:
    api = Api()
    api.control.handlers[Register] = lambda asked: RegisteredModel(
        kind=asked.kind, text=asked.text, ignored=["virtualenv", "model_specs[0].ü\nX: y"]
    )
    body = {"model": MINE, "persist": True, "worker_ip": None, "else": 1}
    answer = await api.http.post("/v1/model_registrations/LLM", json=body)
    assert (answer.status_code, answer.json()) == (200, None)
    assert answer.headers["X-Ignored-Fields"] == "else, virtualenv, model_specs[0].__X__y"
    assert api.control.operations == [Register("LLM", MINE, persist=True)]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "model"),
        ({"model": {}}, "model"),
        ({"model": "x" * 300_000}, "model"),
        ({"model": MINE, "persist": "yes"}, "persist"),
        ({"model": MINE, "worker_ip": "10.0.0.1"}, "worker_ip"),
    ],
)
async def test_a_bad_registration_names_the_field(body: dict[str, Any], param: str) -> None:
    answer = await Api().http.post("/v1/model_registrations/LLM", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_a_taken_name_is_a_conflict() -> None:
    def taken(_: Register) -> None:
        raise Conflict("A model mine is registered already.", param="model_name")

    api = Api()
    api.control.handlers[Register] = taken
    answer = await api.http.post("/v1/model_registrations/LLM", json={"model": MINE})
    assert answer.status_code == 409
    assert answer.json()["detail"] == "A model mine is registered already."


async def test_a_model_is_unregistered() -> None:
    api = Api()
    answer = await api.http.delete("/v1/model_registrations/LLM/mine")
    assert (answer.status_code, answer.json()) == (200, None)
    assert api.control.operations == [Unregister("LLM", "mine")]


async def test_files_are_described_as_they_can_be_registered(tmp_path: Any) -> None:
    file = random_llama(tmp_path / "small model.gguf")
    body = {"model_path": str(file), "model_family": "llama-2"}
    answer = await Api().http.post("/v1/models/llm/auto-register", json=body)
    described = answer.json()
    assert described["model_name"] == "small-model"
    assert described["model_family"] == "llama-2"
    assert described["context_length"] > 0
    assert described["model_specs"][0]["model_uri"] == file.resolve().as_uri()
    gone = await Api().http.post("/v1/models/llm/auto-register", json={"model_path": "/no/such"})
    assert (gone.status_code, gone.json()["error"]["param"]) == (404, "model_path")


async def test_prompts_are_those_that_files_are_not_left_to_say() -> None:
    prompts = await get(with_mine(), "/v1/models/prompts")
    assert prompts["mine"] == {
        "chat_template": "{{ messages }}",
        "stop": ["END"],
        "stop_token_ids": [],
    }
    assert "USER:" in prompts["vicuna-v1.3"]["chat_template"]
    assert "qwen3" not in prompts


async def test_families_are_names_by_ability() -> None:
    families = await get(with_mine(), "/v1/models/families")
    assert {"mine", "qwen2.5-instruct"} <= set(families["chat"])
    assert "mine" in families["vision"]
    assert "gpt-2" in families["generate"]
    assert "tools" in families
