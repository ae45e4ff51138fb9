"""The routing table: plain words for what cannot be served, and waits for what may come."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from tests.support.replicas import soon
from tests.support.snapshots import deployment_status, replica_status, snapshot
from xinfer.core.gateway import RoutingTable
from xinfer.errors import EngineFailed, NotFound, Unavailable
from xinfer.types.deployment import DeploymentState, DeploymentStatus
from xinfer.types.failure import Failure
from xinfer.types.model import Progress

pytestmark = pytest.mark.anyio


def table(*deployments: DeploymentStatus) -> RoutingTable:
    made = RoutingTable()
    made.update(snapshot(*deployments))
    return made


def refusal(status: DeploymentStatus) -> Unavailable:
    with pytest.raises(Unavailable) as error:
        table(status).require_ready(status.deployment.uid)
    return error.value


def test_before_the_first_snapshot_nothing_is_known() -> None:
    empty = RoutingTable()
    assert empty.deployments() == []
    with pytest.raises(Unavailable) as error:
        empty.status("m")
    assert error.value.code == "starting"
    assert error.value.retry_after


def test_an_unknown_model_is_answered_with_the_nearest_names() -> None:
    known = table(*(deployment_status(uid) for uid in ("tiny-chat", "tiny-chart", "whisper")))
    with pytest.raises(NotFound) as error:
        known.status("tiny-chatt")
    assert error.value.code == "model_not_found"
    assert error.value.param == "model"
    assert "'tiny-chatt'" in error.value.message
    assert "'tiny-chat'" in error.value.message
    assert "'tiny-chart'" in error.value.message
    assert "whisper" not in error.value.message


def test_a_name_like_none_is_answered_with_what_runs() -> None:
    with pytest.raises(NotFound, match="Running: a-model, b-model"):
        table(deployment_status("b-model"), deployment_status("a-model")).status("zzzzzz")


def test_without_any_model_the_way_to_launch_one_is_told() -> None:
    with pytest.raises(NotFound, match="xinference launch"):
        table().status("m")


def test_a_huge_name_is_not_repeated_whole() -> None:
    with pytest.raises(NotFound) as error:
        table(deployment_status("m")).status("x" * 10_000)
    assert len(error.value.message) < 300


def test_deployments_come_by_name() -> None:
    listed = table(deployment_status("b"), deployment_status("a")).deployments()
    assert [status.deployment.uid for status in listed] == ["a", "b"]


def test_one_ready_replica_is_enough() -> None:
    status = deployment_status(
        "m",
        replica_status("m-0", state=DeploymentState.LOADING),
        replica_status("m-1"),
        state=DeploymentState.LOADING,
    )
    assert table(status).require_ready("m") is status
    assert [r.replica_id for r in table(status).ready_replicas("m")] == ["m-1"]


def test_a_loading_model_is_refused_with_how_far_it_is() -> None:
    replicas = (
        replica_status(f"m-{i}", state=DeploymentState.LOADING, progress=Progress(f, "loading"))
        for i, f in enumerate((0.25, 0.5))
    )
    error = refusal(deployment_status("m", *replicas, state=DeploymentState.LOADING))
    assert error.code == "model_loading"
    assert error.retry_after
    assert "50%" in error.message
    assert error.details == {"loading": {"state": "LOADING", "progress": 0.5, "eta_seconds": None}}


def test_a_failed_model_is_refused_with_the_cause() -> None:
    failure = Failure.of(EngineFailed("The weights are upside down.", details={"exit": "badly"}))
    error = refusal(deployment_status("m", state=DeploymentState.ERROR, failure=failure))
    assert error.code == "model_failed"
    assert "The weights are upside down." in error.message
    assert error.details == {"exit": "badly"}
    assert error.retry_after is None


def test_a_model_that_is_being_stopped_says_so() -> None:
    draining = replica_status("m-0", "unix:/x", DeploymentState.DRAINING)
    status = deployment_status("m", draining, state=DeploymentState.DRAINING)
    assert refusal(status).code == "draining"
    assert table(status).ready_replicas("m") == []
    assert table(status).reachable_replicas("m") == [draining]


async def test_a_wait_ends_with_the_snapshot_that_has_what_is_waited_for() -> None:
    waiting = RoutingTable()
    task = asyncio.create_task(waiting.wait_for(lambda s: s.deployments.get("m"), 5))
    other = asyncio.create_task(waiting.wait_for(lambda s: s.version, 5))
    await asyncio.sleep(0)
    waiting.update(snapshot())
    assert await soon(other) == 1
    assert not task.done()
    wanted = deployment_status("m")
    waiting.update(snapshot(wanted, version=2))
    assert (await soon(task)) is wanted


async def test_a_wait_for_what_is_there_is_none() -> None:
    assert await table().wait_for(lambda s: s.version, 0) == 1


async def test_a_wait_gives_up_in_time_and_hurts_no_other() -> None:
    waiting = table()
    patient = asyncio.create_task(waiting.wait_for(lambda s: s.deployments.get("m")))
    await asyncio.sleep(0)
    with pytest.raises(asyncio.TimeoutError):
        await waiting.wait_for(lambda s: None, 0.01)
    waiting.update(snapshot(deployment_status("m"), version=2))
    assert (await soon(patient)).deployment.uid == "m"


async def test_a_cancellation_that_meets_the_snapshot_is_not_lost() -> None:
    waiting = RoutingTable()
    task = asyncio.create_task(waiting.wait_for(lambda s: s.version, 5))
    await asyncio.sleep(0)
    waiting.update(snapshot())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def _named(uid: str, state: DeploymentState, *aliases: str) -> DeploymentStatus:
    status = deployment_status(uid, state=state)
    spec = msgspec.structs.replace(status.deployment.spec, aliases=aliases)
    deployment = msgspec.structs.replace(status.deployment, spec=spec)
    return msgspec.structs.replace(status, deployment=deployment)


def test_an_alias_stands_for_the_model_and_a_uid_goes_before_it() -> None:
    made = table(
        _named("m", DeploymentState.READY, "other", "n"), _named("n", DeploymentState.READY)
    )
    assert made.status("other").deployment.uid == made.resolve("other") == "m"
    assert made.status("n").deployment.uid == made.resolve("n") == "n"
    assert made.resolve("unknown") == "unknown"
    with pytest.raises(NotFound, match="Did you mean 'other'"):
        made.status("othr")


def test_the_alias_of_a_model_that_is_being_stopped_is_its_successors() -> None:
    leaving = _named("z", DeploymentState.DRAINING, "other")
    assert table(leaving).resolve("other") == "z"
    assert table(leaving, _named("a", DeploymentState.LOADING, "other")).resolve("other") == "a"
