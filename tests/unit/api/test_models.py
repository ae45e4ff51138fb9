"""What runs, in the words of OpenAI's and of Xinference's clients."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.api.fakes import Api, deployment
from xinfer.errors import EngineFailed
from xinfer.types.control import ClusterEvent, ReadEvents, ReadLogs, ReadNodes
from xinfer.types.deployment import DeploymentState, Place
from xinfer.types.device import DeviceShare
from xinfer.types.model import FileProgress, Progress

pytestmark = pytest.mark.anyio

DEVICES = [
    {"kind": "cuda", "index": 3, "name": "H100", "memory_total": 80, "memory_free": 9},
    {"kind": "cpu", "index": 0, "name": "CPU", "memory_total": 100},
]

ENTRY = {
    "id": "echo",
    "object": "model",
    "created": 1_700_000_000,
    "owned_by": "xinference",
    "model_uid": "echo",
    "aliases": [],
    "model_type": "LLM",
    "address": "127.0.0.1:4000",
    "accelerators": [],
    "model_name": "echo",
    "model_lang": ["en"],
    "model_ability": ["generate", "chat"],
    "model_description": "Repeats its prompt.",
    "model_format": "",
    "model_size_in_billions": None,
    "model_family": "echo",
    "quantization": "none",
    "multimodal_projector": None,
    "model_hub": "builtin",
    "revision": None,
    "context_length": 2048,
    "strict_system_first": False,
    "model_engine": "echo",
    "replica": 1,
    "state": "READY",
    "loaded": True,
    "backend": "cpu",
    "engine_details": {},
}


async def test_both_routes_give_the_union_of_both_shapes() -> None:
    api = Api()
    assert (await api.http.get("/v1/models")).json() == {"object": "list", "data": [ENTRY]}
    assert (await api.http.get("/v1/models/echo")).json() == ENTRY


async def test_the_list_follows_the_snapshot_and_holds_what_serves() -> None:
    api = Api()
    await api.http.get("/v1/models")
    api.control.show(
        deployment("later"),
        deployment("loading", state=DeploymentState.LOADING),
        deployment("failed", state=DeploymentState.ERROR),
        deployment("restarting", state=DeploymentState.RESTARTING),
        deployment("unloaded", state=DeploymentState.UNLOADED),
    )
    data = (await api.http.get("/v1/models")).json()["data"]
    assert [(one["id"], one["loaded"]) for one in data] == [
        ("echo", True),
        ("later", True),
        ("restarting", True),
        ("unloaded", False),
    ]


async def test_an_empty_server_lists_nothing() -> None:
    api = Api()
    api.control.drop("echo")
    assert (await api.http.get("/v1/models")).json() == {"object": "list", "data": []}


@pytest.mark.parametrize("route", ["", "/replicas", "/progress", "/logs"])
async def test_an_unknown_model_is_404_everywhere(route: str) -> None:
    response = await Api().http.get(f"/v1/models/nope{route}")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"


async def test_a_model_that_loads_is_503_with_its_progress() -> None:
    api = Api(deployment(state=DeploymentState.PENDING))
    response = await api.http.get("/v1/models/echo")
    assert response.status_code == 503
    assert response.json()["error"]["loading"]["state"] == "PENDING"
    assert response.headers["retry-after"] == "1"


async def test_replicas_have_the_incumbents_fields_and_ours() -> None:
    api = Api(deployment(replicas=2))
    replicas = (await api.http.get("/v1/models/echo/replicas")).json()
    assert replicas[1] == {
        "replica_id": 1,
        "replica_model_uid": "echo-1-abc",
        "worker_address": "127.0.0.1:4000",
        "model_address": "unix:/run/echo-1",
        "accelerators": [],
        "status": "READY",
        "model_state": "",
        "created_ts": 1_700_000_001,
        "error_message": None,
        "replica_uid": "echo-1",
        "gpu_idx": None,
        "devices": {},
        "state": "READY",
        "info": "",
        "pid": 4322,
        "restarts": 1,
        "running": 1,
        "waiting": 2,
        "capacity": 20,
        "stats": {},
    }


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (DeploymentState.PENDING, "CREATING"),
        (DeploymentState.DOWNLOADING, "CREATING"),
        (DeploymentState.LOADING, "LOADING"),
        (DeploymentState.READY, "READY"),
        (DeploymentState.RESTARTING, "UPDATING"),
        (DeploymentState.DRAINING, "TERMINATING"),
        (DeploymentState.UNLOADED, "READY"),
        (DeploymentState.ERROR, "ERROR"),
    ],
)
async def test_instances_speak_of_states_in_the_incumbents_words(
    state: DeploymentState, word: str
) -> None:
    api = Api(deployment(state=state, failure=EngineFailed("It broke.")))
    (instance,) = (await api.http.get("/v1/models/instances")).json()
    assert instance["status"] == word
    assert instance["state"] == state.value
    assert instance["error_message"] == "It broke."
    assert instance["instance_created_ts"] == 1_700_000_000
    assert instance["replica_statuses"][0]["status"] == word


async def test_instances_are_filtered_by_uid_and_name() -> None:
    api = Api(deployment("a"), deployment("b"))
    for field in ("model_uid", "model_name"):
        found = (await api.http.get("/v1/models/instances", params={field: "b"})).json()
        assert [one["model_uid"] for one in found] == ["b"]


async def test_progress_is_the_mean_and_the_stage_of_the_least_advanced() -> None:
    api = Api(deployment(state=DeploymentState.LOADING, replicas=2))
    body = (await api.http.get("/v1/models/echo/progress")).json()
    assert (body["progress"], body["stage"]) == (0.25, "loading")
    assert [one["replica_id"] for one in body["replicas"]] == [0, 1]
    api = Api(deployment())
    assert (await api.http.get("/v1/models/echo/progress")).json()["progress"] == 1.0
    api = Api(deployment(state=DeploymentState.PENDING, replicas=0))
    assert (await api.http.get("/v1/models/echo/progress")).json()["stage"] == "pending"


async def test_logs_come_by_replica() -> None:
    api = Api()
    api.control.handlers[ReadLogs] = lambda _: [
        {"replica_id": "echo-0-abc", "ordinal": 0, "lines": ["one", "two"]}
    ]
    body = (await api.http.get("/v1/models/echo/logs", params={"lines": 2})).json()
    assert body["replicas"] == [
        {"replica_id": 0, "replica_model_uid": "echo-0-abc", "lines": ["one", "two"]}
    ]
    assert api.control.operations == [ReadLogs("echo", 2)]


async def test_a_replica_tells_its_devices_and_the_name_it_was_given() -> None:
    status = deployment(replicas=2)
    shares = (DeviceShare("cuda", 1, 500), DeviceShare("cuda", 3, 500), DeviceShare("cpu", 0, 7))
    status = msgspec.structs.replace(
        status,
        deployment=msgspec.structs.replace(
            status.deployment, places=(Place(replica_uid="mine"), Place())
        ),
        replicas=tuple(msgspec.structs.replace(each, devices=shares) for each in status.replicas),
    )
    api = Api(status)
    first, second = (await api.http.get("/v1/models/echo/replicas")).json()
    assert (first["gpu_idx"], first["accelerators"]) == ([1, 3], ["1", "3"])
    assert first["devices"] == {"cuda:1": 500, "cuda:3": 500, "cpu:0": 7}
    assert (first["replica_uid"], second["replica_uid"]) == ("mine", "echo-1")
    assert (await api.http.get("/v1/models/echo")).json()["accelerators"] == ["1", "3"]


async def test_status_tells_of_the_workers() -> None:
    api = Api()
    api.control.handlers[ReadNodes] = lambda _: [
        {
            "address": "127.0.0.1:4000",
            "age": 1.0,
            "cpu_count": 2,
            "cpu_usage": 0.5,
            "memory_total": 100,
            "memory_available": 60,
            "memory_used": 40,
            "devices": DEVICES,
            "problems": ["AMD's driver sleeps."],
        }
    ]
    body = (await api.http.get("/status")).json()
    worker = body["workers"]["127.0.0.1:4000"]
    assert body["uptime"] > 0
    assert worker["failure_remaining_count"] == 4
    assert worker["status"]["cpu"] == {
        "usage": 0.5,
        "total": 2,
        "memory_used": 40,
        "memory_available": 60,
        "memory_total": 100,
    }
    assert worker["status"]["gpu-0"] == {
        "device": "cuda:3",
        "name": "H100",
        "mem_total": 80,
        "mem_free": 9,
        "mem_used": 0,
        "mem_usage": 0.0,
        "gpu_util": None,
        "problem": "",
    }
    assert worker["status"].keys() == {"cpu", "gpu-0"}
    assert worker["problems"] == ["AMD's driver sleeps."]


async def test_events_are_told_in_the_incumbents_shape_and_of_the_whole_cluster() -> None:
    api = Api()
    happened = [
        ClusterEvent(at=1.75, level="INFO", text="Worker w joined", worker="w"),
        ClusterEvent(at=2.5, level="ERROR", text="Model gone is ERROR", model="gone"),
    ]
    api.control.handlers[ReadEvents] = lambda asked: [
        event for event in happened if asked.model in (None, event.model)
    ]
    error = {"event_type": "ERROR", "event_ts": 2, "event_content": "Model gone is ERROR"}
    assert (await api.http.get("/v1/models/gone/events")).json() == [error]
    assert (await api.http.get("/v1/models/echo/events")).json() == []
    assert (await api.http.get("/v1/models/never/events")).status_code == 404
    assert (await api.http.get("/v1/cluster/events")).json() == [
        {
            "event_type": "INFO",
            "event_ts": 1,
            "event_content": "Worker w joined",
            "model_uid": None,
            "worker_address": "w",
        },
        {**error, "model_uid": "gone", "worker_address": None},
    ]


async def test_progress_tells_of_each_file_that_is_downloaded() -> None:
    status = deployment(state=DeploymentState.DOWNLOADING)
    file = FileProgress(
        name="model.safetensors",
        downloaded_bytes=100,
        total_bytes=400,
        speed_bytes_per_second=50.0,
        elapsed_seconds=2.0,
        eta_seconds=6.0,
        status="downloading",
    )
    progress = Progress(0.2, "downloading", "Downloading model files", (file,))
    (replica,) = status.replicas
    replica = msgspec.structs.replace(replica, progress=progress)
    api = Api(msgspec.structs.replace(status, replicas=(replica,)))
    answer = (await api.http.get("/v1/models/echo/progress")).json()
    assert (answer["progress"], answer["stage"]) == (0.2, "downloading")
    told = {
        "name": "model.safetensors",
        "downloaded_bytes": 100,
        "total_bytes": 400,
        "progress": 0.25,
        "speed_bytes_per_second": 50.0,
        "elapsed_seconds": 2.0,
        "eta_seconds": 6.0,
        "status": "downloading",
        "replica_id": 0,
        "replica_model_uid": "echo-0-abc",
    }
    assert answer["download_files"] == [told]
    assert answer["replicas"][0]["download_files"] == [told]
    assert answer["replicas"][0]["info"] == "Downloading model files"


async def test_an_alias_is_listed_behind_the_model_and_described_by_either_name() -> None:
    api = Api(deployment(aliases=("gpt-4o-mini",)))
    entry = {**ENTRY, "aliases": ["gpt-4o-mini"]}
    by_alias = {**entry, "id": "gpt-4o-mini"}
    assert (await api.http.get("/v1/models")).json()["data"] == [entry, by_alias]
    assert (await api.http.get("/v1/models/echo")).json() == entry
    assert (await api.http.get("/v1/models/gpt-4o-mini")).json() == by_alias


async def test_a_request_by_an_alias_goes_to_the_model_and_counts_as_its_own() -> None:
    api = Api(deployment(aliases=("gpt-4o-mini",)))
    response = await api.chat(model="gpt-4o-mini")
    assert response.status_code == 200
    assert response.json()["model"] == "echo"
    metrics = (await api.http.get("/metrics")).text
    assert 'model="echo"' in metrics
    assert "gpt-4o-mini" not in metrics
