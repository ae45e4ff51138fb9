"""Routes of a cluster's machines."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api.fakes import Api
from xinfer import __version__
from xinfer.errors import Conflict, Unavailable
from xinfer.types.control import DrainWorker, Node, ReadNodes, StopCluster
from xinfer.types.device import CPU, Device

pytestmark = pytest.mark.anyio


def node(address: str, **more: Any) -> Node:
    return Node(
        address=address,
        age=1.0,
        cpu_count=4,
        cpu_usage=0.5,
        memory_total=8,
        memory_available=4,
        memory_used=4,
        version="1.2.3",
        **more,
    )


@pytest.mark.parametrize(
    ("listens", "asked", "told"),
    [
        ("10.0.0.1:5000", "http://api", "10.0.0.1:5000"),
        ("0.0.0.0:5000", "http://head.example:9997", "head.example:5000"),
        ("0.0.0.0:5000", "http://127.0.0.1:9997", "127.0.0.1:5000"),
        (":::5000", "http://[fd00::1]:9997", "fd00::1:5000"),
    ],
)
async def test_the_supervisors_address_is_one_that_who_asks_can_reach(
    listens: str, asked: str, told: str
) -> None:
    api = Api(supervisor=listens)
    assert (await api.http.get(f"{asked}/v1/address")).json() == told
    assert (await api.http.get(f"{asked}/v1/supervisor")).json() == {"supervisor_ip": told}


async def test_workers_have_their_labels_and_the_models_by_replica() -> None:
    api = Api()
    api.control.handlers[ReadNodes] = lambda _: [
        node("127.0.0.1:4000", labels={"rack": "3"}),
        node("127.0.0.2:4000", leaving=True),
    ]
    one, two = (await api.http.get("/v1/workers")).json()
    assert one["work-ip"] == "127.0.0.1:4000"
    assert list(one["models"]) == ["echo-0-abc"]
    assert one["models"]["echo-0-abc"]["model_name"] == "echo"
    assert one["models"]["echo-0-abc"]["address"] == "127.0.0.1:4000"
    assert (one["labels"], one["state"], one["version"]) == ({"rack": "3"}, "READY", "1.2.3")
    assert (two["models"], two["state"]) == ({}, "LEAVING")


async def test_draining_is_passed_on_and_its_refusal_comes_back() -> None:
    api = Api()
    answer = await api.http.post("/v1/workers/127.0.0.1:4000/drain")
    assert answer.json() == {"work-ip": "127.0.0.1:4000", "state": "LEAVING"}
    assert api.control.operations == [DrainWorker("127.0.0.1:4000")]

    def refuse(_: DrainWorker) -> None:
        raise Conflict("It is the last.", code="last_worker")

    api.control.handlers[DrainWorker] = refuse
    refused = await api.http.post("/v1/workers/127.0.0.1:4000/drain")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "last_worker")


async def test_stopping_the_cluster_is_passed_on() -> None:
    api = Api()
    assert (await api.http.delete("/v1/clusters")).json() == {"result": True}
    assert api.control.operations == [StopCluster()]


GIB = 1 << 30
GPUS = (
    Device(
        kind="cuda",
        index=0,
        name="A10",
        memory_total=24 * GIB,
        memory_used=6 * GIB,
        memory_free=18 * GIB,
        utilisation=0.5,
    ),
    Device(kind="cuda", index=1, name="A10", memory_total=24 * GIB, memory_free=24 * GIB),
    Device(kind=CPU, index=0, name="CPU", memory_total=8, cores=4),
)


async def test_the_cluster_is_described_machine_by_machine() -> None:
    api = Api(supervisor="127.0.0.1:5000")
    api.control.nodes = [node("10.0.0.2:1", devices=GPUS), node("10.0.0.3:1", devices=GPUS[2:])]
    assert (await api.http.get("/v1/cluster/info")).json() == [
        {
            "node_type": "Supervisor",
            "ip_address": "127.0.0.1:5000",
            "gpu_count": 0,
            "gpu_vram_total": 0,
        },
        {
            "node_type": "Worker",
            "ip_address": "10.0.0.2:1",
            "gpu_count": 2,
            "gpu_vram_total": "49152MiB",
        },
        {
            "node_type": "Worker",
            "ip_address": "10.0.0.3:1",
            "gpu_count": 0,
            "gpu_vram_total": 0,
        },
    ]


async def test_the_detailed_description_says_what_is_in_use() -> None:
    api = Api(supervisor="127.0.0.1:5000")
    api.control.nodes = [node("10.0.0.2:1", devices=GPUS)]
    answer = await api.http.get("/v1/cluster/info?detailed=true&include_routers=true")
    supervisor, worker = answer.json()
    assert worker == {
        "node_type": "Worker",
        "ip_address": "10.0.0.2:1",
        "gpu_count": 2,
        "gpu_vram_total": 48 * GIB,
        "gpu_vram_available": 42 * GIB,
        "gpu_utilization": 50.0,
        "cpu_available": 2.0,
        "cpu_count": 4,
        "mem_used": 4,
        "mem_available": 4,
        "mem_total": 8,
    }
    assert supervisor.keys() == worker.keys()
    assert 0 < supervisor["mem_available"] <= supervisor["mem_total"]
    assert 0 <= supervisor["cpu_available"] <= supervisor["cpu_count"]
    assert supervisor["gpu_utilization"] is None


async def test_devices_are_counted_where_there_are_most() -> None:
    api = Api()
    assert (await api.http.get("/v1/cluster/devices")).json() == 0
    api.control.nodes = [node("a:1", devices=GPUS[1:]), node("b:1", devices=GPUS)]
    assert (await api.http.get("/v1/cluster/devices")).json() == 2


async def test_the_version_is_told() -> None:
    answer = (await Api().http.get("/v1/cluster/version")).json()
    assert answer == {"version": __version__, "full-revisionid": None}


async def test_status_tells_an_accelerators_use_in_percent_and_its_memory_as_a_share() -> None:
    api = Api()
    api.control.nodes = [node("a:1", devices=GPUS)]
    status = (await api.http.get("/status")).json()["workers"]["a:1"]["status"]
    assert status["gpu-0"] == {
        "device": "cuda:0",
        "name": "A10",
        "mem_total": 24 * GIB,
        "mem_free": 18 * GIB,
        "mem_used": 6 * GIB,
        "mem_usage": 0.25,
        "gpu_util": 50.0,
        "problem": "",
    }
    assert status["gpu-1"]["gpu_util"] is None


async def test_without_the_supervisor_the_machines_are_not_known() -> None:
    api = Api()

    def away(_: ReadNodes) -> None:
        raise Unavailable("The control plane does not answer.", code="control_unavailable")

    api.control.handlers[ReadNodes] = away
    for path in ("/v1/cluster/info", "/v1/cluster/devices", "/v1/workers", "/status"):
        answer = await api.http.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "control_unavailable")
