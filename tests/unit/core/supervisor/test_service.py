"""Launch, terminate, cancel, logs: what is accepted, what is refused, what is serialised."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from tests.unit.core.supervisor.desk import Desk
from tests.unit.core.supervisor.support import (
    DRAINING,
    ERROR,
    GIB,
    LOADING,
    READY,
    TERMINATED,
    assignment,
    deployment,
    replica,
    report,
    run,
    unreachable,
    until,
)
from xinfer.core.supervisor.scaling import MAX_REPLICAS
from xinfer.errors import Cancelled, Conflict, InvalidRequest, NotFound, Unavailable
from xinfer.types.deployment import LaunchSpec, Place
from xinfer.types.model import Memory


def test_a_launch_is_committed_and_wanted() -> None:
    async def main() -> None:
        desk = Desk()
        assert await desk.launch("m", replica=2) == "m"
        (wanted,) = await desk.store.load()
        assert desk.state.desired == {"m": wanted}
        assert (wanted.generation, wanted.created, wanted.replicas) == (100, 5, 2)
        assert (wanted.engine, wanted.options, wanted.max_queue) == ("echo", {"pace": 1}, 20)
        assert desk.changes == 1
        await desk.launch("n", max_queue=0)
        assert desk.state.desired["n"].max_queue == 0

    run(main)


def test_a_launch_without_a_uid_is_named_after_the_model_and_never_twice_alike() -> None:
    async def main() -> None:
        desk = Desk()
        desk.go.clear()
        first = asyncio.create_task(desk.launch(None))
        second = asyncio.create_task(desk.launch(None))
        await until(lambda: desk.resolving == 2)
        desk.go.set()
        assert await first == "echo"
        assert re.fullmatch("echo-[a-z0-9]{8}", await second)

    run(main)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"uid": "a/b"}, "model_uid"),
        ({"uid": ""}, "model_uid"),
        ({"replica": 0}, "replica"),
        ({"replica": True}, "replica"),
        ({"replica": 2.0}, "replica"),
        ({"replica": MAX_REPLICAS + 1}, "replica"),
        ({"max_queue": -1}, "max_queue"),
        ({"max_queue": False}, "max_queue"),
        ({"request_limits": -1}, "request_limits"),
        ({"request_limits": True}, "request_limits"),
    ],
)
def test_a_bad_field_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    async def main() -> None:
        desk = Desk()
        with pytest.raises(InvalidRequest) as caught:
            await desk.launch(**fields)
        assert caught.value.param == param
        assert desk.state.desired == {}

    run(main)


def test_a_launch_that_is_not_understood_leaves_nothing_behind() -> None:
    async def main() -> None:
        desk = Desk()
        with pytest.raises(NotFound, match="no such model"):
            await desk.launch("m", model_name="unknown")
        assert desk.state.desired == {}
        assert await desk.launch("m") == "m"

    run(main)


def test_a_uid_is_given_once() -> None:
    async def main() -> None:
        desk = Desk()
        desk.go.clear()
        first = asyncio.create_task(desk.launch())
        await until(lambda: desk.resolving)
        with pytest.raises(Conflict, match="being launched") as early:
            await desk.launch()
        assert early.value.code == "already_exists"
        desk.go.set()
        await first
        with pytest.raises(Conflict, match="running") as late:
            await desk.launch()
        assert late.value.code == "already_exists"

    run(main)


def test_a_failed_deployment_may_be_launched_again_as_a_new_generation() -> None:
    async def main() -> None:
        desk = Desk()
        await desk.launch()
        desk.fails()
        await desk.launch()
        assert desk.state.desired["m"].generation == 101
        assert not desk.state.has_failed("m")

    run(main)


def test_a_launch_may_be_content_with_what_is_there() -> None:
    async def main() -> None:
        desk = Desk()
        assert await desk.launch(None) == "echo"
        assert await desk.launch(None, exist_ok=True) == "echo"
        assert await desk.launch("echo", exist_ok=True) == "echo"
        assert desk.state.desired["echo"].generation == 100
        assert await desk.launch("other", exist_ok=True) == "other"
        with pytest.raises(Conflict):
            await desk.launch("other", exist_ok=True, model_name="another-model")
        desk.fails("echo")
        await desk.launch("echo", exist_ok=True)
        assert desk.state.desired["echo"].generation == 101

    run(main)


def test_terminate_forgets_and_a_later_launch_is_newer() -> None:
    async def main() -> None:
        desk = Desk()
        await desk.launch()
        await desk.service.terminate("m")
        assert await desk.store.load() == []
        assert desk.state.desired == {}
        assert desk.changes == 2
        await desk.launch()
        assert desk.state.desired["m"].generation == 101

    run(main)


def test_an_unknown_uid_is_not_found_with_the_nearest_names() -> None:
    async def main() -> None:
        desk = Desk()
        await desk.launch("tiny-chat")
        for operation in (desk.service.terminate, desk.service.cancel):
            with pytest.raises(NotFound, match="tiny-chat") as caught:
                await operation("tiny-chta")
            assert caught.value.code == "model_not_found"
        with pytest.raises(NotFound):
            await desk.service.logs("tiny-chta", 1)

    run(main)


def test_terminate_waits_for_the_launch_under_way() -> None:
    async def main() -> None:
        desk = Desk()
        desk.go.clear()
        launch = asyncio.create_task(desk.launch())
        await until(lambda: desk.resolving)
        terminate = asyncio.create_task(desk.service.terminate("m"))
        await asyncio.sleep(0)
        assert not terminate.done()
        desk.go.set()
        assert await launch == "m"
        await terminate
        assert desk.state.desired == {}

    run(main)


def test_cancel_ends_a_launch_that_is_not_committed() -> None:
    async def main() -> None:
        desk = Desk()
        desk.go.clear()
        launch = asyncio.create_task(desk.launch())
        await until(lambda: desk.resolving)
        await desk.service.cancel("m")
        with pytest.raises(Cancelled, match="'m'"):
            await launch
        desk.go.set()
        assert desk.state.desired == {}
        assert await desk.launch() == "m"

    run(main)


def test_cancel_ends_a_launch_that_loads() -> None:
    async def main() -> None:
        desk = Desk()
        await desk.launch()
        desk.becomes(LOADING)
        await desk.service.cancel("m")
        assert desk.state.desired == {}
        assert await desk.store.load() == []

    run(main)


@pytest.mark.parametrize("end", ["ready", "failed"])
def test_there_is_nothing_to_cancel_after_a_launch(end: str) -> None:
    async def main() -> None:
        desk = Desk()
        await desk.launch()
        if end == "ready":
            desk.becomes(READY)
        else:
            desk.fails()
        with pytest.raises(Conflict, match="nothing to cancel"):
            await desk.service.cancel("m")
        assert "m" in desk.state.desired

    run(main)


def test_cancelling_the_new_launch_of_a_failed_deployment_keeps_the_old() -> None:
    async def main() -> None:
        desk = Desk()
        await desk.launch()
        desk.fails()
        desk.go.clear()
        launch = asyncio.create_task(desk.launch())
        await until(lambda: desk.resolving == 2)
        await desk.service.cancel("m")
        with pytest.raises(Cancelled):
            await launch
        desk.go.set()
        assert desk.state.has_failed("m")

    run(main)


def test_nothing_is_launched_while_the_server_stops() -> None:
    async def main() -> None:
        desk = Desk()
        desk.go.clear()
        launch = asyncio.create_task(desk.launch())
        await until(lambda: desk.resolving)
        desk.state.draining = True
        with pytest.raises(Unavailable) as caught:
            await desk.launch("n")
        assert caught.value.code == "draining"
        desk.go.set()
        with pytest.raises(Unavailable):
            await launch
        assert desk.state.desired == {}

    run(main)


def test_logs_come_from_the_workers_also_after_the_end() -> None:
    async def main() -> None:
        desk = Desk()
        await desk.launch()
        assert await desk.service.logs("m", 5) == []
        desk.becomes(ERROR)
        (log,) = await desk.service.logs("m", 5)
        assert (log.replica_id, log.ordinal) == ("r", 0)
        assert log.lines == ["r at 127.0.0.1:1"]
        desk.workers.failing["logs"] = unreachable()
        (log,) = await desk.service.logs("m", 5)
        assert "cannot be read" in log.lines[0]
        with pytest.raises(InvalidRequest) as caught:
            await desk.service.logs("m", 0)
        assert caught.value.param == "lines"

    run(main)


def test_what_a_worker_brings_is_taken_over_when_it_was_never_known() -> None:
    async def main() -> None:
        desk = Desk()
        brought = deployment("m", generation=90)
        await desk.service.adopt(report(replica(assignment(brought))))
        assert desk.state.desired == {"m": brought}
        assert await desk.store.load() == [brought]
        await desk.service.terminate("m")
        await desk.service.adopt(report(replica(assignment(brought))))
        assert desk.state.desired == {}

    run(main)


def test_what_was_launched_meanwhile_or_is_leaving_is_not_taken_over() -> None:
    async def main() -> None:
        desk = Desk()
        await desk.launch("m")
        wanted = desk.state.desired["m"]
        await desk.service.adopt(report(replica(assignment(deployment("m", generation=99)))))
        assert desk.state.desired == {"m": wanted}
        for state in (DRAINING, TERMINATED):
            await desk.service.adopt(report(replica(assignment(deployment("n")), state)))
        assert desk.state.desired == {"m": wanted}

    run(main)


def test_what_runs_is_taken_over_in_place_of_what_an_older_store_says() -> None:
    async def main() -> None:
        desk = Desk()
        await desk.store.put(deployment("m", generation=4))
        await desk.service.restore()
        brought = deployment("m", generation=5)
        await desk.service.adopt(report(replica(assignment(brought))))
        assert desk.state.desired == {"m": brought}
        assert await desk.store.load() == [brought]

    run(main)


def test_what_runs_is_taken_over_once_though_it_cannot_be_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        desk = Desk()
        desk.store.refusal = Unavailable("The disk is full.", code="store_unavailable")
        brought = deployment("m", generation=90)
        for _ in range(2):
            await desk.service.adopt(report(replica(assignment(brought))))
            assert desk.state.desired == {"m": brought}
        assert caplog.text.count("The disk is full.") == 1
        desk.store.refusal = None
        await desk.service.terminate("m")
        await desk.service.adopt(report(replica(assignment(brought))))
        assert desk.state.desired == {}

    run(main)


def test_what_cannot_be_kept_is_not_done() -> None:
    async def main() -> None:
        desk = Desk()
        await desk.launch("m")
        changes, wanted = desk.changes, dict(desk.state.desired)
        desk.store.refusal = Unavailable("The disk is full.", code="store_unavailable")
        with pytest.raises(Unavailable, match="disk is full"):
            await desk.launch("n")
        for operation in (desk.service.terminate, desk.service.cancel):
            with pytest.raises(Unavailable, match="disk is full"):
                await operation("m")
        assert (desk.state.desired, desk.changes) == (wanted, changes)

    run(main)


def test_a_launch_under_way_decides_before_anything_is_taken_over() -> None:
    async def main() -> None:
        desk = Desk()
        desk.go.clear()
        launch = asyncio.create_task(desk.launch("m"))
        await until(lambda: desk.resolving)
        adopt = asyncio.create_task(
            desk.service.adopt(report(replica(assignment(deployment("m", generation=90)))))
        )
        await asyncio.sleep(0)
        desk.go.set()
        await asyncio.gather(launch, adopt)
        assert desk.state.desired["m"].generation == 100

    run(main)


def test_what_the_store_holds_is_wanted_again() -> None:
    async def main() -> None:
        desk = Desk()
        await desk.store.put(deployment("kept"))
        assert await desk.service.restore() == ["kept"]
        assert desk.state.desired == {"kept": deployment("kept")}

    run(main)


def test_a_launch_that_has_no_room_is_refused_before_anything_is_wanted() -> None:
    async def main() -> None:
        desk = Desk()
        desk.memory = Memory(weights=7 * GIB)
        assert await desk.launch("early", replica=2) == "early"  # no worker is there to judge by
        desk.state.remove("early")
        desk.state.apply(report(), 1000.0)  # 12 GiB are free
        with pytest.raises(Unavailable) as caught:
            await desk.launch("m", replica=2)
        error = caught.value
        assert error.code == "no_capacity"
        assert error.message.startswith("No available slot found for the model m:")
        assert error.message.endswith("Of 2 replicas 1 would fit.")
        assert (error.details["replicas"], error.details["placed"]) == (2, 1)
        assert error.details["needed"]["weights"] == 7 * GIB
        assert error.details["workers"][0]["devices"][0]["available"] == 5 * GIB
        assert error.retry_after
        assert desk.state.desired == {}
        assert [each.uid for each in await desk.store.load()] == ["early"]
        assert await desk.launch("m") == "m"
        assert desk.state.desired["m"].memory == desk.memory

    run(main)


def test_places_are_wanted_as_they_were_asked_for() -> None:
    async def main() -> None:
        desk = Desk()
        await desk.launch("m", n_gpu=2, worker_ip="h")
        assert desk.state.desired["m"].places == (Place(n_gpu=2, worker="h"),)
        with pytest.raises(InvalidRequest, match="multiple of replica"):
            await desk.launch("n", replica=2, gpu_idx=(1,))

    run(main)


def test_a_name_belongs_to_one_model_be_it_a_uid_or_an_alias() -> None:
    async def main() -> None:
        desk = Desk()
        await desk.launch("m", aliases=("gpt", "owner/name"))
        assert desk.state.desired["m"].spec.aliases == ("gpt", "owner/name")
        for fields, param in [
            ({"uid": "gpt"}, "model_uid"),
            ({"uid": "n", "aliases": ("gpt",)}, "aliases"),
            ({"uid": "n", "aliases": ("m",)}, "aliases"),
        ]:
            with pytest.raises(Conflict, match="belongs to model 'm'") as caught:
                await desk.launch(**fields)
            assert caught.value.param == param
        assert list(desk.state.desired) == ["m"]
        await desk.launch("m", exist_ok=True, aliases=("gpt",))
        assert re.fullmatch("gpt-[a-z0-9]{8}", await desk.launch(None, model_name="gpt"))
        await desk.service.terminate("m")
        await desk.launch("n", aliases=("gpt",))

    run(main)


def test_of_two_launches_at_once_one_gets_the_alias() -> None:
    async def main() -> None:
        desk = Desk()
        desk.go.clear()
        first = asyncio.create_task(desk.launch("m", aliases=("gpt",)))
        await until(lambda: desk.resolving == 1)
        with pytest.raises(Conflict, match="belongs to model 'm'"):
            await desk.launch("n", aliases=("gpt",))
        desk.go.set()
        assert await first == "m"

    run(main)


def test_a_preview_wants_nothing_and_tells_of_missing_room() -> None:
    async def main() -> None:
        desk = Desk()
        spec = LaunchSpec(model_name="echo")
        found = await desk.service.preview(spec)
        assert (found.model.name, found.engine, found.lack) == ("echo", "echo", "")
        desk.memory = Memory(weights=64 * GIB)
        desk.state.apply(report(), 1000.0)
        found = await desk.service.preview(spec)
        assert found.memory == desk.memory
        assert "No available slot found for the model echo" in found.lack
        with pytest.raises(NotFound):
            await desk.service.preview(LaunchSpec(model_name="unknown"))
        assert (desk.state.desired, await desk.store.load(), desk.changes) == ({}, [], 0)

    run(main)
