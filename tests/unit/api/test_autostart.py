"""Declared models over HTTP, in Xinference's shape."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.unit.api.fakes import Api, deployment, snapshot
from xinfer.api.render.autostart import launch_body
from xinfer.api.schemas.launch import LaunchBody
from xinfer.errors import EngineFailed, NotFound
from xinfer.types.control import Declare, ReadDeclarations, Undeclare
from xinfer.types.declaration import API, FILE, Declaration, Declared
from xinfer.types.deployment import DeploymentState, LaunchSpec

pytestmark = pytest.mark.anyio

PATH = "/v1/autostart/models"


def declared(uid: str = "echo", *, by: str = API, enabled: bool = True, **more: Any) -> Declared:
    spec = LaunchSpec(model_name="echo", model_uid=uid, declared=by)
    return Declared(declaration=Declaration(spec=spec, enabled=enabled, max_retries=3), **more)


async def listed(*what: Declared, api: Api | None = None) -> list[dict[str, Any]]:
    api = api or Api()
    api.control.handlers[ReadDeclarations] = lambda _: list(what)
    answer = await api.http.get(PATH)
    assert answer.status_code == 200
    models: list[dict[str, Any]] = answer.json()["models"]
    return models


async def test_an_entry_has_xinferences_fields() -> None:
    assert await listed(declared(by=FILE, attempts=1, last_attempt=5.0, last_started=6.0)) == [
        {
            "enabled": True,
            "priority": 100,
            "max_retries": 3,
            "retry_interval_seconds": 30.0,
            "launch": {"model_name": "echo", "model_uid": "echo"},
            "state": {
                "status": "active",
                "attempts": 1,
                "message": "It serves.",
                "last_error": None,
                "last_attempt_ts": 5.0,
                "last_started_ts": 6.0,
                "instance_status": "READY",
            },
            "source": "file",
        }
    ]


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (DeploymentState.READY, "active"),
        (DeploymentState.LOADING, "launching"),
        (DeploymentState.PENDING, "launching"),
        (DeploymentState.RESTARTING, "launching"),
        (DeploymentState.ERROR, "error"),
        (DeploymentState.DRAINING, "waiting_model"),
    ],
)
async def test_the_state_is_that_of_the_deployment(state: DeploymentState, word: str) -> None:
    failure = EngineFailed("It broke.") if state is DeploymentState.ERROR else None
    (entry,) = await listed(declared(), api=Api(deployment(state=state, failure=failure)))
    assert entry["state"]["status"] == word
    assert entry["state"]["last_error"] == ("It broke." if failure else None)


async def test_without_a_worker_it_waits_for_one() -> None:
    api = Api()
    alone = snapshot(deployment(state=DeploymentState.PENDING), version=2)
    api.table.update(msgspec.structs.replace(alone, workers=0))
    (entry,) = await listed(declared(), api=api)
    assert entry["state"]["status"] == "waiting_worker"


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"due": True}, "launching"),
        ({"due": True, "error": "No room.", "attempts": 2}, "waiting_model"),
        ({"error": "No such option.", "attempts": 1}, "error"),
        ({"last_started": 6.0}, "waiting_model"),
        ({"enabled": False}, "waiting_model"),
    ],
)
async def test_one_that_does_not_run_says_what_it_waits_for(
    more: dict[str, Any], word: str
) -> None:
    (entry,) = await listed(declared("absent", **more))
    state = entry["state"]
    assert (state["status"], state["instance_status"]) == (word, None)
    assert state["last_error"] == more.get("error")
    assert state["attempts"] == more.get("attempts", 0)


async def test_the_summary_has_uids() -> None:
    api = Api()
    api.control.handlers[ReadDeclarations] = lambda _: [declared("a"), declared("b", enabled=False)]
    assert (await api.http.get(f"{PATH}/summary")).json() == {
        "models": [{"enabled": True, "model_uid": "a"}, {"enabled": False, "model_uid": "b"}]
    }


@pytest.mark.parametrize("flat", [False, True])
async def test_a_declaration_is_passed_on_from_both_forms_of_its_body(flat: bool) -> None:
    api = Api()
    api.control.handlers[ReadDeclarations] = lambda _: [declared()]
    launch = {"model_name": "echo", "model_engine": "echo", "token_interval": 0.5}
    own = {"enabled": False, "priority": 7, "max_retries": None, "retry_interval_seconds": 5}
    body = {**own, **launch} if flat else {**own, "launch": launch}
    answer = await api.http.post(PATH, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["models"][0]["launch"]["model_uid"] == "echo"
    spec = LaunchSpec(
        model_name="echo",
        model_uid="echo",
        model_engine="echo",
        options={"token_interval": 0.5},
        declared=API,
    )
    assert api.control.operations[0] == Declare(
        Declaration(spec=spec, enabled=False, priority=7, max_retries=None, retry_interval=5.0)
    )


async def test_an_entry_can_be_sent_as_it_was_listed() -> None:
    api = Api()
    (entry,) = await listed(declared(), api=api)
    answer = await api.http.post(PATH, json=entry)
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Ignored-Fields"] == "state, source"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "launch.model_name"),
        ({"launch": {"model_name": "echo", "replica": 0}}, "launch.replica"),
        ({"model_name": "echo", "priority": "first"}, "priority"),
        ({"model_name": "echo", "retry_interval_seconds": 0}, "retry_interval_seconds"),
        ({"model_name": "echo", "n_worker": 2}, "n_worker"),
        ({"model_name": "echo", "hub_token": "******"}, "launch"),
    ],
)
async def test_a_wrong_declaration_is_refused_by_its_field(
    body: dict[str, Any], param: str
) -> None:
    api = Api()
    answer = await api.http.post(PATH, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert api.control.operations == []


async def test_taking_one_back_answers_with_what_is_left() -> None:
    api = Api()
    api.control.handlers[ReadDeclarations] = lambda _: [declared("b")]
    answer = await api.http.delete(f"{PATH}/a")
    assert answer.json() == {"models": [{"enabled": True, "model_uid": "b"}]}
    assert api.control.operations[0] == Undeclare("a")

    def refuse(_: Undeclare) -> None:
        raise NotFound("It is not declared.")

    api.control.handlers[Undeclare] = refuse
    assert (await api.http.delete(f"{PATH}/a")).status_code == 404


def test_a_launch_is_shown_as_it_can_be_sent_again_without_its_secrets() -> None:
    body = {
        "model_name": "echo",
        "replica": 2,
        "n_gpu": None,
        "quantization": "q4_0",
        "peft_model_config": {"lora_list": [{"lora_name": "a", "local_path": "/a", "scale": 0.5}]},
        "n_ctx": 512,
        "nested": {"depth": [{"api_key": "k"}]},
        "tokenizer": "plain",
    }
    spec = LaunchBody.model_validate(body).spec()
    shown = launch_body(spec)
    assert shown == {**body, "nested": {"depth": [{"api_key": "******"}]}}
    placed = {
        "model_name": "echo",
        "replica_config": [{"replica_uid": "x", "devices": [{"worker_ip": "w", "gpu_idx": [1]}]}],
    }
    again = LaunchBody.model_validate(placed).spec()
    assert launch_body(again) == placed
    assert launch_body(LaunchSpec(model_name="m", options={"envs": {"A": "1"}}))["envs"] == {
        "A": "******"
    }
