"""Declared models: what a start does with them, and what is tried again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.unit.core.supervisor.support import (
    FakeWorkers,
    MemoryStore,
    cluster_state,
    run,
    turns,
    until,
)
from xinfer.core.supervisor.declarations import Declarations
from xinfer.core.supervisor.service import DeploymentService
from xinfer.errors import Conflict, InvalidRequest, NotFound, Unavailable, XinferError
from xinfer.model.catalog.host import Host
from xinfer.model.catalog.resolve import Resolved
from xinfer.settings import Settings
from xinfer.types.declaration import API, FILE, Declaration, Declared
from xinfer.types.deployment import LaunchSpec
from xinfer.types.model import ModelSpec


def launch(uid: str, **more: object) -> LaunchSpec:
    return LaunchSpec(model_name="echo", model_uid=uid, **more)  # type: ignore[arg-type]


class House:
    """The store outlives servers, each of which is made by `started`."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.refusals: dict[str, list[XinferError]] = {}
        self.asked: list[str] = []

    def resolve(self, spec: LaunchSpec, host: Host) -> Resolved:
        uid = spec.model_uid or ""
        self.asked.append(uid)
        if self.refusals.get(uid):
            raise self.refusals[uid].pop(0)
        return Resolved(ModelSpec(name=spec.model_name), "echo", {})

    @asynccontextmanager
    async def started(
        self,
        *file: LaunchSpec,
        no_file: bool = False,
        restarted: bool = False,
        restore: bool = True,
    ) -> AsyncIterator[Running]:
        running = Running(self, None if no_file else file)
        await running.service.restore()
        await running.declarations.begin(restarted=restarted, restore=restore)
        task = asyncio.create_task(running.declarations.run())
        await turns()
        try:
            yield running
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.wait({task})


class Running:
    def __init__(self, house: House, file: tuple[LaunchSpec, ...] | None) -> None:
        self.state = cluster_state()
        self.service = DeploymentService(
            self.state,
            house.store,
            FakeWorkers(),
            Settings(),
            resolve=house.resolve,
            changed=lambda: None,
            monotonic=time.monotonic,
            unix_now=lambda: 7.0,
        )
        self.declarations = Declarations(
            self.state,
            house.store,
            self.service,
            file,
            monotonic=time.monotonic,
            unix_now=lambda: 7.0,
        )

    async def has(self, *uids: str) -> None:
        await until(lambda: sorted(self.state.desired) == sorted(uids))

    def declared(self, uid: str) -> Declared:
        return next(one for one in self.declarations.read() if one.declaration.uid == uid)


def test_what_the_file_declares_is_launched_and_left_alone_at_the_next_start() -> None:
    async def main() -> None:
        house = House()
        async with house.started(launch("a", replica=2), launch("b")) as server:
            await server.has("a", "b")
            assert server.state.desired["a"].spec.declared == FILE
            before = server.state.desired
        async with house.started(launch("b"), launch("a", replica=2)) as server:
            assert server.state.desired == before
            assert house.asked == ["a", "b"]

    run(main)


def test_a_changed_entry_is_launched_anew() -> None:
    async def main() -> None:
        house = House()
        async with house.started(launch("a")) as server:
            await server.has("a")
            first = server.state.desired["a"].generation
        async with house.started(launch("a", max_queue=3)) as server:
            await server.has("a")
            assert server.state.desired["a"].max_queue == 3
            assert server.state.desired["a"].generation > first

    run(main)


def test_an_entry_that_has_gone_ends_its_model_but_none_launched_by_hand() -> None:
    async def main() -> None:
        house = House()
        async with house.started(launch("a"), launch("b")) as server:
            await server.service.launch(launch("mine"))
            await server.has("a", "b", "mine")
        async with house.started(launch("b")) as server:
            await server.has("b", "mine")

    run(main)


def test_a_start_without_the_file_leaves_what_it_declared() -> None:
    async def main() -> None:
        house = House()
        async with house.started(launch("a")) as server:
            await server.has("a")
        async with house.started(no_file=True) as server:
            await server.has("a")
        async with house.started() as server:
            await server.has()

    run(main)


def test_the_file_has_the_last_word_on_a_model_launched_by_hand() -> None:
    async def main() -> None:
        house = House()
        async with house.started() as server:
            await server.service.launch(LaunchSpec(model_name="echo"))
            await server.service.launch(launch("other", max_queue=5))
            kept = server.state.desired["echo"]
        async with house.started(launch("echo"), launch("other")) as server:
            await server.has("echo", "other")
            assert server.state.desired["echo"] == kept
            await until(lambda: server.state.desired["other"].max_queue != 5)

    run(main)


def test_a_number_of_replicas_changed_by_hand_stays_as_long_as_the_entry_does() -> None:
    async def main() -> None:
        house = House()
        async with house.started(launch("a")) as server:
            await server.has("a")
            await server.service.scale("a", replicas=3)
        async with house.started(launch("a")) as server:
            assert server.state.desired["a"].replicas == 3

    run(main)


def test_what_was_terminated_comes_back_at_the_next_start_and_not_with_a_new_supervisor() -> None:
    async def main() -> None:
        house = House()
        async with house.started(launch("a")) as server:
            await server.has("a")
            await server.service.terminate("a")
        async with house.started(launch("a"), launch("never"), restarted=True) as server:
            await server.has("never")
            await server.service.terminate("never")
        async with house.started(launch("a")) as server:
            await server.has("a")

    run(main)


def test_a_launch_that_is_refused_for_now_is_tried_again_until_it_is_accepted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        house = House()
        house.refusals["a"] = [Unavailable("There is no room.", code="no_capacity")] * 3
        async with house.started(launch("b")) as server:
            await server.declarations.declare(Declaration(spec=launch("a"), retry_interval=0.001))
            await server.has("a", "b")
            await until(lambda: not server.declared("a").due)
            settled = server.declared("a")
            assert (settled.attempts, settled.error, settled.last_started) == (4, "", 7.0)

    run(main)
    assert caplog.text.count("There is no room; trying again every 0.001 s.") == 1


def test_while_a_launch_waits_to_be_tried_again_its_refusal_is_told() -> None:
    async def main() -> None:
        house = House()
        house.refusals["a"] = [Unavailable("There is no room.", code="no_capacity")]
        async with house.started(launch("a"), launch("b")) as server:
            await server.has("b")
            waits = server.declared("a")
            assert (waits.due, waits.attempts, waits.error) == (True, 1, "There is no room.")

    run(main)


@pytest.mark.parametrize(
    ("error", "retries", "asked"),
    [
        (InvalidRequest("No such option."), 5, 1),
        (NotFound("No such file."), 1, 2),
        (NotFound("No such file."), 0, 1),
    ],
)
def test_a_launch_that_would_be_refused_again_is_given_up(
    error: XinferError, retries: int, asked: int
) -> None:
    async def main() -> None:
        house = House()
        house.refusals["a"] = [error] * 10
        async with house.started() as server:
            await server.declarations.declare(
                Declaration(spec=launch("a"), max_retries=retries, retry_interval=0.001)
            )
            await until(lambda: not server.declared("a").due)
            await server.service.launch(launch("b"))
            assert house.asked == ["a"] * asked + ["b"]
            assert server.declared("a").error == error.message

    run(main)


def test_a_declaration_of_the_api_is_kept_and_launched_by_priority() -> None:
    async def main() -> None:
        house = House()
        async with house.started() as server:
            await server.declarations.declare(Declaration(spec=launch("late"), priority=200))
            await server.declarations.declare(Declaration(spec=launch("soon"), priority=1))
            await server.has("late", "soon")
            assert server.state.desired["soon"].spec.declared == API
            for uid in ("late", "soon"):
                await server.service.terminate(uid)
        house.asked.clear()
        async with house.started(no_file=True) as server:
            await server.has("late", "soon")
            assert house.asked == ["soon", "late"]
            assert [one.declaration.uid for one in server.declarations.read()] == ["soon", "late"]

    run(main)


def test_declaring_leaves_what_runs_alone_until_the_next_start() -> None:
    async def main() -> None:
        house = House()
        async with house.started() as server:
            await server.service.launch(launch("a", max_queue=1))
            before = server.state.desired["a"]
            await server.declarations.declare(Declaration(spec=launch("a", max_queue=2)))
            await turns()
            assert server.state.desired["a"] == before
        async with house.started() as server:
            await until(lambda: "a" in server.state.desired)
            assert server.state.desired["a"].max_queue == 2

    run(main)


def test_one_that_is_not_enabled_is_not_started_however_it_was_launched() -> None:
    async def main() -> None:
        house = House()
        async with house.started() as server:
            await server.service.launch(launch("a"))
            await server.declarations.declare(Declaration(spec=launch("a"), enabled=False))
            await server.declarations.declare(Declaration(spec=launch("b"), enabled=False))
            await turns()
            await server.has("a")
        async with house.started() as server:
            await turns()
            await server.has()

    run(main)


def test_a_declaration_that_is_taken_back_ends_its_model_at_the_next_start() -> None:
    async def main() -> None:
        house = House()
        async with house.started() as server:
            await server.declarations.declare(Declaration(spec=launch("a")))
            await server.has("a")
            await server.declarations.undeclare("a")
            with pytest.raises(NotFound, match="Declared: none"):
                await server.declarations.undeclare("a")
            await turns()
            await server.has("a")
        async with house.started(no_file=True) as server:
            await server.has()

    run(main)


def test_what_the_file_declares_is_the_files_to_change() -> None:
    async def main() -> None:
        async with House().started(launch("a")) as server:
            with pytest.raises(Conflict) as caught:
                await server.declarations.declare(Declaration(spec=launch("a")))
            assert caught.value.code == "declared_in_file"
            with pytest.raises(Conflict):
                await server.declarations.undeclare("a")

    run(main)


def test_without_restoring_only_the_file_is_launched() -> None:
    async def main() -> None:
        house = House()
        async with house.started() as server:
            await server.declarations.declare(Declaration(spec=launch("by-api")))
            await server.has("by-api")
            await server.service.terminate("by-api")
        async with house.started(launch("by-file"), restore=False) as server:
            await server.has("by-file")
            await turns()
            await server.has("by-file")

    run(main)


def test_a_declaration_that_cannot_be_kept_is_not_made() -> None:
    async def main() -> None:
        house = House()
        async with house.started() as server:
            house.store.refusal = Unavailable("The disk is full.", code="store_unavailable")
            with pytest.raises(Unavailable):
                await server.declarations.declare(Declaration(spec=launch("a")))
            await turns()
            assert (server.declarations.read(), server.state.desired) == ([], {})

    run(main)
