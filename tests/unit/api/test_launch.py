"""Launching, waiting, terminating, cancelling, aborting."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from tests.unit.api.fakes import Api, Exchange, deployment
from xinfer.errors import Conflict, EngineFailed, NotFound, Unavailable
from xinfer.types.control import (
    AwaitSeen,
    CancelLaunch,
    Launch,
    LaunchPreview,
    Preview,
    Terminate,
)
from xinfer.types.deployment import DeploymentState, LaunchSpec, Place
from xinfer.types.model import LoraAdapter, Memory, ModelSpec

pytestmark = pytest.mark.anyio


async def _launch(api: Api, wait_ready: bool = True, **body: Any) -> httpx.Response:
    return await api.http.post(
        "/v1/models",
        params={"wait_ready": wait_ready},
        json={"model_name": "tiny", **body},
    )


A = {"lora_name": "a", "local_path": "/a.gguf"}


def _lora(*modules: dict[str, Any]) -> dict[str, Any]:
    return {"peft_model_config": {"lora_list": list(modules)}}


def _launches_as(api: Api, state: DeploymentState, **fields: Any) -> asyncio.Event:
    """Make the next launch appear in this state; the event tells that it did."""
    launched = asyncio.Event()

    def launch(operation: Launch) -> str:
        api.control.show(deployment(operation.spec.model_name, state=state, **fields))
        launched.set()
        return operation.spec.model_name

    api.control.handlers[Launch] = launch
    return launched


async def test_a_launch_reaches_the_control_plane_with_its_options() -> None:
    api = Api()
    response = await _launch(
        api,
        model_uid="mine",
        model_engine="llama.cpp",
        model_size_in_billions="0_5",
        replica=2,
        n_ctx=512,
    )
    assert response.json() == {"model_uid": "mine", "model_engine": "echo", "engine_reason": ""}
    assert api.control.operations == [
        Launch(
            LaunchSpec(
                model_name="tiny",
                model_uid="mine",
                model_engine="llama.cpp",
                model_size_in_billions=0.5,
                replica=2,
                options={"n_ctx": 512},
            )
        ),
        AwaitSeen(2),
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"n_gpu": "auto", "gpu_idx": None, "worker_ip": "", "replica_config": []}, {}),
        ({"n_gpu": None}, {"n_gpu": None}),
        ({"n_gpu": 2}, {"n_gpu": 2}),
        ({"gpu_idx": 3}, {"gpu_idx": (3,)}),
        ({"gpu_idx": [1, 0]}, {"gpu_idx": (1, 0)}),
        ({"worker_ip": "10.0.0.1:9978"}, {"worker_ip": "10.0.0.1:9978"}),
        (
            {
                "replica_config": [
                    {
                        "replica_uid": "primary",
                        "devices": [{"worker_ip": "10.0.0.1", "n_gpu": 1, "gpu_idx": [0]}],
                    },
                    {"devices": [{"n_gpu": None}]},
                ]
            },
            {
                "replica_config": (
                    Place(worker="10.0.0.1", n_gpu=1, gpu_idx=(0,), replica_uid="primary"),
                    Place(n_gpu=None),
                )
            },
        ),
        ({"worker_labels": None, "priority": 0}, {}),
        ({"request_limits": 4}, {"request_limits": 4}),
        (
            {"worker_labels": {"rack": "1"}, "priority": -2},
            {"worker_labels": {"rack": "1"}, "priority": -2},
        ),
    ],
)
async def test_where_a_launch_may_run_reaches_the_control_plane(
    fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    api = Api()
    response = await _launch(api, **fields)
    assert response.status_code == 200, response.text
    assert api.control.operations[0] == Launch(LaunchSpec(model_name="tiny", **expected))


async def test_what_xinferences_client_sends_by_default_is_accepted() -> None:
    response = await _launch(
        Api(), model_uid=None, model_engine=None, peft_model_config=None, model_type="LLM",
        model_size_in_billions=None, model_format=None, quantization=None, replica=1, n_worker=1,
        n_gpu="auto", request_limits=None, worker_ip=None, gpu_idx=None, replica_config=None,
        model_path=None, enable_thinking=None, enable_virtual_env=None, virtual_env_packages=None,
        virtual_env_find_links=None, envs=None, trust_remote_code=True,
    )  # fmt: skip
    assert response.status_code == 200, response.text


async def test_what_a_launch_brings_for_its_model_reaches_the_control_plane() -> None:
    api = Api()
    bringing = {
        "download_hub": "modelscope",
        "trust_remote_code": False,
        "envs": {"OMP_NUM_THREADS": "1"},
        "virtual_env_packages": ["peft==0.17"],
        "virtual_env_find_links": ["/wheels"],
    }
    assert (await _launch(api, **bringing)).status_code == 200
    assert api.control.operations[0].spec == LaunchSpec(
        model_name="tiny",
        download_hub="modelscope",
        trust_remote_code=False,
        envs={"OMP_NUM_THREADS": "1"},
        packages=("peft==0.17",),
        find_links=("/wheels",),
    )
    api = Api()
    assert (await _launch(api, **bringing, enable_virtual_env=False)).status_code == 200
    assert api.control.operations[0].spec.packages == ()


async def test_how_a_model_thinks_and_calls_reaches_the_control_plane() -> None:
    api = Api()
    said = {"enable_thinking": True, "reasoning_content": False, "tool_call_deltas": True}
    assert (await _launch(api, **said, tool_call_parser="hermes")).status_code == 200
    assert api.control.operations[0].spec == LaunchSpec(
        model_name="tiny", **said, tool_call_parser="hermes"
    )
    api = Api()
    nothing = dict.fromkeys((*said, "tool_call_parser"))
    assert (await _launch(api, **nothing)).status_code == 200
    assert api.control.operations[0].spec == LaunchSpec(model_name="tiny")


async def test_lora_adapters_reach_the_control_plane() -> None:
    api = Api()
    config = {
        "lora_list": [A, {"lora_name": "b", "local_path": "/b", "scale": 2}],
        "image_lora_load_kwargs": {},
        "image_lora_fuse_kwargs": None,
    }
    assert (await _launch(api, peft_model_config=config)).status_code == 200
    assert api.control.operations[0].spec.adapters == {
        "a": LoraAdapter("/a.gguf"),
        "b": LoraAdapter("/b", 2.0),
    }
    api = Api()
    assert (await _launch(api, peft_model_config={"lora_list": None})).status_code == 200
    assert api.control.operations[0].spec.adapters == {}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"replica": 0}, "replica"),
        ({"replica": True}, "replica"),
        ({"replica": 1.5}, "replica"),
        ({"model_name": None}, "model_name"),
        ({"model_name": ""}, "model_name"),
        ({"model_size_in_billions": "big"}, "model_size_in_billions"),
        ({"max_queue": -1}, "max_queue"),
        ({"request_limits": -1}, "request_limits"),
        ({"n_gpu": 1.5}, "n_gpu"),
        ({"gpu_idx": ["0"]}, "gpu_idx.0"),
        ({"n_worker": 2}, "n_worker"),
        ({"priority": 1.5}, "priority"),
        ({"worker_labels": {"rack": 1}}, "worker_labels.rack"),
        ({"replica_config": [{"devices": []}]}, "replica_config.0.devices"),
        ({"replica_config": [{"devices": [{"gpu": 1}]}]}, "replica_config.0.devices.0.gpu"),
        ({"envs": {"A": 1}}, "envs.A"),
        ({"virtual_env_packages": "x"}, "virtual_env_packages"),
        ({"keep_alive": 60}, "keep_alive"),
        ({"peft_model_config": []}, "peft_model_config"),
        ({"peft_model_config": {"loras": []}}, "peft_model_config.loras"),
        (_lora({"lora_name": "a"}), "peft_model_config.lora_list.0.local_path"),
        (_lora({"lora_name": "", "local_path": "/a"}), "peft_model_config.lora_list.0.lora_name"),
        (_lora({"lora_name": "a", "local_path": 1}), "peft_model_config.lora_list.0.local_path"),
        (_lora({**A, "scale": "1"}), "peft_model_config.lora_list.0.scale"),
        (_lora(A, A), "peft_model_config.lora_list"),
        (
            {"peft_model_config": {"image_lora_load_kwargs": {"weight": 1}}},
            "peft_model_config.image_lora_load_kwargs",
        ),
    ],
)
async def test_a_bad_launch_is_refused_by_name_before_anything_is_done(
    fields: dict[str, Any], param: str
) -> None:
    api = Api()
    response = await _launch(api, **fields)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param
    assert api.control.operations == []


async def test_waiting_ends_when_every_replica_is_ready() -> None:
    api = Api()
    launched = _launches_as(api, DeploymentState.LOADING, replicas=2)
    waiting = asyncio.create_task(_launch(api))
    await launched.wait()
    api.control.show(deployment("tiny", replicas=1))  # one of two
    half = deployment("tiny", replicas=2)
    api.control.show(half)
    assert (await waiting).json() == {
        "model_uid": "tiny",
        "model_engine": "echo",
        "engine_reason": "",
    }


async def test_without_waiting_the_answer_comes_while_it_loads() -> None:
    api = Api()
    _launches_as(api, DeploymentState.LOADING)
    assert (await _launch(api, wait_ready=False)).status_code == 200
    assert (await api.http.get("/v1/models/tiny/progress")).status_code == 200


async def test_the_answer_comes_when_every_api_process_knows() -> None:
    api = Api()
    asked: list[int] = []
    api.control.handlers[AwaitSeen] = lambda operation: asked.append(operation.version)
    api.control.handlers[Terminate] = lambda operation: api.control.drop(operation.uid)
    assert (await _launch(api, wait_ready=True)).status_code == 200
    assert (await _launch(api, wait_ready=False, model_uid="other")).status_code == 200
    assert (await api.http.delete("/v1/models/tiny")).status_code == 200
    assert asked == [2, 3, 4]


async def test_a_launch_that_was_terminated_before_it_could_be_seen_ends_at_once() -> None:
    api = Api()
    api.control.handlers[Launch] = lambda _: "tiny"

    def await_seen(_: AwaitSeen) -> int:
        api.control.show()  # it came and went between two snapshots
        return 2

    api.control.handlers[AwaitSeen] = await_seen
    response = await asyncio.wait_for(_launch(api), 10)
    assert (response.status_code, response.json()["error"]["code"]) == (499, "cancelled")


async def test_what_was_launched_is_told_though_the_supervisor_has_left_since() -> None:
    api = Api()

    def away(_: AwaitSeen) -> None:
        raise Unavailable("It is away.", code="control_unavailable")

    api.control.handlers[AwaitSeen] = away
    assert (await _launch(api)).status_code == 200


async def test_waiting_ends_with_the_failure_and_its_log() -> None:
    api = Api()
    launched = _launches_as(api, DeploymentState.LOADING)
    waiting = asyncio.create_task(_launch(api))
    await launched.wait()
    failure = EngineFailed("The file is broken.", details={"log": ["last line"]})
    api.control.show(deployment("tiny", state=DeploymentState.ERROR, failure=failure))
    response = await waiting
    assert response.status_code == 500
    assert response.json()["detail"] == "The file is broken."
    assert response.json()["error"]["log"] == ["last line"]


@pytest.mark.parametrize("exist_ok", [False, True])
async def test_an_older_failure_of_the_same_uid_is_not_mistaken_for_this_launchs(
    exist_ok: bool,
) -> None:
    failure = EngineFailed("Old.")
    old = deployment("tiny", state=DeploymentState.ERROR, failure=failure, generation=1)
    api = Api(old)
    api.control.handlers[Launch] = lambda _: "tiny"
    waiting = asyncio.create_task(_launch(api, exist_ok=exist_ok))
    await api.control.called.wait()
    api.control.show(old)
    api.control.show(deployment("tiny", generation=2))
    assert (await waiting).status_code == 200


async def test_a_launch_that_is_content_with_what_is_there_does_not_wait_for_another() -> None:
    api = Api(deployment("tiny", generation=1))
    api.control.handlers[Launch] = lambda _: "tiny"
    assert (await _launch(api, exist_ok=True)).status_code == 200
    (launch,) = [each for each in api.control.operations if isinstance(each, Launch)]
    assert launch.exist_ok
    assert launch.spec.options == {}


@pytest.mark.parametrize("how", ["gone", "draining", "launched anew"])
async def test_waiting_ends_when_it_is_terminated_meanwhile(how: str) -> None:
    api = Api()
    launched = _launches_as(api, DeploymentState.LOADING)
    waiting = asyncio.create_task(_launch(api))
    await launched.wait()
    await asyncio.sleep(0)
    if how == "gone":
        api.control.drop("tiny")
    elif how == "draining":
        api.control.show(deployment("tiny", state=DeploymentState.DRAINING))
    else:
        api.control.show(deployment("tiny", generation=2))
    response = await waiting
    assert response.status_code == 499
    assert response.json()["error"]["type"] == "cancelled"


async def test_a_client_that_leaves_while_it_waits_does_not_stop_the_launch() -> None:
    api = Api()
    launched = _launches_as(api, DeploymentState.LOADING)
    exchange = Exchange(api.app, "/v1/models", {"model_name": "tiny"})
    async with exchange.running() as running:
        await launched.wait()
        exchange.hang_up()
        await asyncio.wait_for(running, 10)
    assert [type(operation) for operation in api.control.operations] == [Launch]


async def test_a_refused_launch_keeps_its_error() -> None:
    api = Api()

    def refuse(_: Launch) -> str:
        raise Conflict("It is there already.")

    api.control.handlers[Launch] = refuse
    response = await _launch(api)
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "already_exists"


async def test_terminating_answers_null_once_this_process_sees_it() -> None:
    api = Api()
    api.control.handlers[Terminate] = lambda operation: api.control.drop(operation.uid)
    response = await api.http.delete("/v1/models/echo")
    assert (response.status_code, response.text) == (200, "null")
    assert (await api.http.get("/v1/models/echo")).status_code == 404


async def test_terminating_or_cancelling_what_is_not_there_is_404() -> None:
    api = Api()

    def unknown(_: object) -> None:
        raise NotFound("There is no model 'x'.", code="model_not_found")

    api.control.handlers[Terminate] = api.control.handlers[CancelLaunch] = unknown
    assert (await api.http.delete("/v1/models/x")).status_code == 404
    assert (await api.http.post("/v1/models/x/cancel")).status_code == 404


async def test_cancelling_reaches_the_control_plane() -> None:
    api = Api()
    response = await api.http.post("/v1/models/echo/cancel")
    assert (response.status_code, response.text) == (200, "null")
    assert api.control.operations == [CancelLaunch("echo")]


async def test_aborting_asks_every_replica_by_the_requests_id() -> None:
    api = Api()
    path = "/v1/models/echo/requests/my-id/abort"
    done = await api.http.post(path, json={"block_duration": 30})
    assert done.json() == {"msg": "DONE"}
    assert done.headers["x-ignored-fields"] == "block_duration"
    api.gateway.abort_finds = False
    assert (await api.http.post(path)).json() == {"msg": "NOT_FOUND"}
    assert api.gateway.aborts == [("echo", "my-id")] * 2
    gone = await api.http.post("/v1/models/nope/requests/my-id/abort", json={})
    assert gone.status_code == 404


async def test_a_preview_tells_what_a_launch_would_take_and_launches_nothing() -> None:
    api = Api()
    model = ModelSpec(name="tiny", format="ggufv2", quantization="Q8_0", size_bytes=7)
    api.control.handlers[Preview] = lambda _: msgspec.to_builtins(
        LaunchPreview(
            model=model,
            engine="xllamacpp",
            reason="It is here.",
            memory=Memory(weights=7, kv_cache=2, overhead=1),
            lack="No room.",
        )
    )
    response = await api.http.post(
        "/v1/models/preview", json={"model_name": "tiny", "quantization": "Q8_0", "n_ctx": 64}
    )
    assert response.json() == {
        "model_name": "tiny",
        "model_type": "LLM",
        "model_engine": "xllamacpp",
        "engine_reason": "It is here.",
        "model_format": "ggufv2",
        "model_size_in_billions": None,
        "quantization": "Q8_0",
        "context_length": 0,
        "size_bytes": 7,
        "cached": True,
        "memory": {"weights": 7, "kv_cache": 2, "overhead": 1, "accelerator_overhead": 0},
        "lack": "No room.",
    }
    spec = LaunchSpec(model_name="tiny", quantization="Q8_0", options={"n_ctx": 64})
    assert api.control.operations == [Preview(spec)]
