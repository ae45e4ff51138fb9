"""Routes of a cluster's machines."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api.fakes import Api
from xinfer.errors import Conflict
from xinfer.types.control import DrainWorker, Node, ReadNodes, StopCluster

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
