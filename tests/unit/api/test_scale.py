"""Changing how many replicas a model has."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from tests.unit.api.fakes import Api, deployment
from xinfer.errors import EngineFailed, Unavailable
from xinfer.types.control import AddReplicas, AwaitSeen, RemoveReplica, Scale
from xinfer.types.deployment import DeploymentState, DeploymentStatus, Place
from xinfer.types.failure import Failure

pytestmark = pytest.mark.anyio

REPLICAS = "/v1/models/echo/replicas"


def with_state(
    status: DeploymentStatus, ordinal: int, state: DeploymentState, **fields: Any
) -> DeploymentStatus:
    changed = tuple(
        msgspec.structs.replace(one, state=state, **fields) if one.ordinal == ordinal else one
        for one in status.replicas
    )
    return msgspec.structs.replace(status, replicas=changed)


def grows_to(api: Api, *statuses: DeploymentStatus) -> None:
    """A replica that is added has the number 1; then these are seen, one after the other."""

    def add(_: AddReplicas) -> list[int]:
        loop = asyncio.get_running_loop()
        for status in statuses:
            loop.call_soon(api.control.show, status)
        return [1]

    api.control.handlers[AddReplicas] = add


async def test_scaling_answers_with_the_instance_once_every_process_knows() -> None:
    api = Api()

    def scale(operation: Scale) -> int:
        api.control.show(deployment(replicas=3))
        return 3

    api.control.handlers[Scale] = scale
    response = await api.http.patch("/v1/models/echo", json={"replica": 3, "keep_alive": -1})
    assert response.status_code == 200, response.text
    assert (response.json()["replica"], response.json()["max_queue"]) == (3, 100)
    assert len(response.json()["replica_statuses"]) == 3
    assert api.control.operations == [Scale("echo", 3, None), AwaitSeen(2)]


@pytest.mark.parametrize(("asked", "made"), [(7, 7), (0, None)])
async def test_a_limit_on_requests_is_changed_and_lifted(asked: int, made: int | None) -> None:
    api = Api()

    def scale(operation: Scale) -> int:
        assert operation.request_limits == asked
        shown = deployment()
        wanted = msgspec.structs.replace(shown.deployment, request_limits=made)
        api.control.show(msgspec.structs.replace(shown, deployment=wanted))
        return 1

    api.control.handlers[Scale] = scale
    response = await api.http.patch("/v1/models/echo", json={"request_limits": asked})
    assert response.status_code == 200, response.text
    assert response.json()["request_limits"] == made


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"replica": 0}, "replica"),
        ({"replica": True}, "replica"),
        ({"max_queue": -1}, "max_queue"),
        ({"max_queue": 5, "keep_alive": 60}, "keep_alive"),
        ({"replica": 2, "request_limits": -1}, "request_limits"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(body: dict[str, Any], param: str) -> None:
    api = Api()
    response = await api.http.patch("/v1/models/echo", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert api.control.operations == []


async def test_a_change_of_nothing_that_is_known_is_refused() -> None:
    response = await Api().http.patch("/v1/models/echo", json={"replicas": 2})
    assert response.status_code == 400
    assert "`max_queue` or `request_limits`. Not known: replicas" in response.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", "/v1/models/no"), ("POST", "/v1/models/no/replicas"),
     ("DELETE", "/v1/models/no/replicas/0")],
)  # fmt: skip
async def test_of_an_unknown_model_it_is_404(method: str, path: str) -> None:
    body = None if method == "DELETE" else {"replica": 2}
    response = await Api().http.request(method, path, json=body)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"


async def test_a_replica_that_was_added_is_told_when_it_is_ready() -> None:
    api = Api()
    ready = deployment(replicas=2)
    placing = with_state(ready, 1, DeploymentState.PENDING, worker="")
    grows_to(api, placing, with_state(ready, 1, DeploymentState.LOADING), ready)
    response = await api.http.post(REPLICAS, json={})
    assert response.json() == {
        "replica_id": 1,
        "replica_model_uid": "echo-1-abc",
        "worker_address": "127.0.0.1:4000",
    }
    assert api.control.operations == [AddReplicas("echo"), AwaitSeen(4)]


async def test_without_waiting_it_is_told_when_it_has_a_worker() -> None:
    api = Api()
    grows_to(api, with_state(deployment(replicas=2), 1, DeploymentState.LOADING))
    response = await api.http.post(REPLICAS, params={"wait_ready": False})
    assert response.json()["worker_address"] == "127.0.0.1:4000"


async def test_a_replica_that_fails_is_told_with_its_reason() -> None:
    api = Api()
    failure = Failure.of(EngineFailed("It broke."))
    grows_to(api, with_state(deployment(replicas=2), 1, DeploymentState.ERROR, failure=failure))
    response = await api.http.post(REPLICAS)
    assert (response.status_code, response.json()["detail"]) == (500, "It broke.")


async def test_several_replicas_are_told_as_a_list() -> None:
    api = Api()

    def add(_: AddReplicas) -> list[int]:
        api.control.show(deployment(replicas=3))
        return [1, 2]

    api.control.handlers[AddReplicas] = add
    body = (await api.http.post(REPLICAS, json={"replica": 2})).json()
    assert body["replica"] == 2
    assert [one["replica_id"] for one in body["replicas"]] == [1, 2]


@pytest.mark.parametrize(
    ("body", "count", "places"),
    [
        (
            {"replica_config": {"replica_uid": "x", "devices": [{"worker_ip": "10.0.0.2"}]}},
            1,
            (Place(worker="10.0.0.2", replica_uid="x"),),
        ),
        ({"replica_config": [{"devices": [{"gpu_idx": 1}]}]}, 1, (Place(gpu_idx=(1,)),)),
        ({"replica": 2, "n_gpu": 0}, 2, (Place(n_gpu=None),) * 2),
        ({"n_gpu": "auto", "model_engine": None}, 1, (Place(),)),
    ],
)
async def test_where_a_new_replica_may_run_reaches_the_control_plane(
    body: dict[str, Any], count: int, places: tuple[Place, ...]
) -> None:
    api = Api()

    def add(_: AddReplicas) -> list[int]:
        api.control.show(deployment(replicas=1 + count))
        return list(range(1, 1 + count))

    api.control.handlers[AddReplicas] = add
    response = await api.http.post(REPLICAS, json=body)
    assert response.status_code == 200, response.text
    assert api.control.operations[0] == AddReplicas("echo", count, places)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"replica": 0}, "replica"),
        ({"model_engine": "echo"}, "model_engine"),
        ({"n_gpu": 1, "replica_config": {"devices": [{}]}}, "n_gpu"),
    ],
)
async def test_a_replica_that_cannot_be_is_refused_by_name(
    body: dict[str, Any], param: str
) -> None:
    api = Api()
    response = await api.http.post(REPLICAS, json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert api.control.operations == []


async def test_no_room_for_another_replica_is_503() -> None:
    api = Api()

    def refuse(_: AddReplicas) -> None:
        raise Unavailable("No available slot found.", code="no_capacity")

    api.control.handlers[AddReplicas] = refuse
    response = await api.http.post(REPLICAS)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "no_capacity")


async def test_removing_a_replica_tells_how_many_are_left() -> None:
    api = Api(deployment(replicas=2))

    def remove(operation: RemoveReplica) -> int:
        api.control.show(deployment(replicas=1))
        return 1

    api.control.handlers[RemoveReplica] = remove
    response = await api.http.delete(f"{REPLICAS}/1")
    assert response.json() == {"remaining_replicas": 1}
    assert api.control.operations == [RemoveReplica("echo", 1), AwaitSeen(2)]


async def test_removing_the_last_replica_answers_once_the_model_has_gone() -> None:
    api = Api()

    def remove(_: RemoveReplica) -> int:
        api.control.drop("echo")
        return 0

    api.control.handlers[RemoveReplica] = remove
    assert (await api.http.delete(f"{REPLICAS}/0")).json() == {"remaining_replicas": 0}


async def test_a_replica_is_named_by_its_number() -> None:
    response = await Api().http.delete(f"{REPLICAS}/echo-0-abc")
    assert (response.status_code, response.json()["error"]["param"]) == (400, "replica_id")
