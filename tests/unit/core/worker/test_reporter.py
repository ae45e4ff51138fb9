"""A worker's reports: at once on a change, else as heartbeat, whether they are heard or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from xinfer.core.actors import create_pool, xo
from xinfer.core.security import new_token
from xinfer.core.worker.devices import Measurement
from xinfer.core.worker.locate import Locate, at_address
from xinfer.core.worker.reporter import Reporter
from xinfer.errors import Forbidden
from xinfer.settings import Settings
from xinfer.types.cluster import SUPERVISOR_ACTOR, NodeUsage, ReportReply, WorkerReport
from xinfer.types.device import Device

NODE = Measurement(
    usage=NodeUsage(cpu_count=3),
    devices=(Device(kind="cpu", index=0, name="Test CPU", memory_total=5),),
    problems=("The driver sleeps.",),
)

pytestmark = pytest.mark.anyio


class Supervisor(xo.StatelessActor):  # type: ignore[misc]
    def __init__(self, reports: asyncio.Queue[WorkerReport], refusing: bool) -> None:
        super().__init__()
        self._reports = reports
        self._refusing = refusing

    async def report(self, payload: bytes) -> bytes:
        if self._refusing:
            raise Forbidden("It runs another version.")
        self._reports.put_nowait(msgspec.msgpack.decode(payload, type=WorkerReport))
        return msgspec.msgpack.encode(ReportReply(link_token=b"t" * 32, forget=("gone",)))


class Bench:
    """A reporter and, when it is there, its supervisor."""

    def __init__(
        self, address: str, settings: Settings, locate: Locate | None, refusing: bool
    ) -> None:
        self.address = address
        self.reports: asyncio.Queue[WorkerReport] = asyncio.Queue()
        self.replies: list[ReportReply] = []
        self.reporter = Reporter(
            locate or at_address(address),
            "127.0.0.1:1",
            lambda: (),
            self.replies.append,
            settings,
            measure=lambda replicas: NODE,
            engines={"echo": ()},
        )
        self.running = asyncio.create_task(self.reporter.run())
        self._refusing = refusing
        self._actor: Any = None

    async def supervisor_comes(self) -> None:
        self._actor = await xo.create_actor(
            Supervisor, self.reports, self._refusing, uid=SUPERVISOR_ACTOR, address=self.address
        )

    async def supervisor_goes(self) -> None:
        await xo.destroy_actor(self._actor)

    async def next(self) -> WorkerReport:
        return await asyncio.wait_for(self.reports.get(), 10)


@asynccontextmanager
async def bench(
    locate: Locate | None = None, *, refusing: bool = False, **settings: Any
) -> AsyncIterator[Bench]:
    made = Settings(**{"heartbeat_interval": 600.0, **settings})
    pool = await create_pool("127.0.0.1", 0, new_token(), made)
    b = Bench(pool.external_address, made, locate, refusing)
    try:
        yield b
    finally:
        b.running.cancel()
        await asyncio.wait({b.running})
        await pool.stop()


async def until(condition: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), 10)


async def test_the_first_report_joins_and_its_answer_is_passed_on() -> None:
    async with bench() as b:
        assert not b.reporter.joined.is_set()
        await b.supervisor_comes()
        report = await b.next()
        assert (report.address, report.sequence > 0, report.leaving) == ("127.0.0.1:1", True, False)
        assert (report.usage, report.devices, report.problems) == (
            NODE.usage,
            NODE.devices,
            NODE.problems,
        )
        assert report.engines == {"echo": ()}
        await asyncio.wait_for(b.reporter.joined.wait(), 10)
        assert b.replies[0].forget == ("gone",)


async def test_a_change_is_reported_without_waiting_for_the_heartbeat() -> None:
    async with bench() as b:
        await b.supervisor_comes()
        first = await b.next()
        b.reporter.changed()
        second = await b.next()
        assert second.sequence == first.sequence + 1
        assert second.worker_id == first.worker_id


async def test_a_burst_of_changes_makes_few_reports() -> None:
    async with bench() as b:
        await b.supervisor_comes()
        first = await b.next()
        for _ in range(100):
            b.reporter.changed()
            await asyncio.sleep(0)
        await b.next()
        b.reporter.changed()
        last = await b.next()
        assert last.sequence <= first.sequence + 4


async def test_silence_is_broken_by_a_heartbeat() -> None:
    async with bench(heartbeat_interval=0.05) as b:
        await b.supervisor_comes()
        first, second = await b.next(), await b.next()
        assert second.sequence > first.sequence


async def test_a_supervisor_that_was_away_is_reported_to_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    async with bench(heartbeat_interval=0.05) as b:
        await b.supervisor_comes()
        first = await b.next()
        await b.supervisor_goes()
        await until(lambda: "Trying again until it answers" in caplog.text)
        while not b.reports.empty():
            first = b.reports.get_nowait()
        await b.supervisor_comes()
        assert (await b.next()).sequence > first.sequence
        await until(lambda: "The supervisor answers again" in caplog.text)
        assert caplog.text.count("Trying again") == 1


async def test_a_supervisor_that_has_moved_is_found(caplog: pytest.LogCaptureFixture) -> None:
    addresses = ["127.0.0.1:1"]

    async def locate() -> str:
        return addresses[0]

    async with bench(locate, heartbeat_interval=0.05) as b:
        await b.supervisor_comes()
        await until(lambda: "Trying again until it answers" in caplog.text)
        addresses[0] = b.address
        assert (await b.next()).sequence > 0


async def test_a_supervisor_that_refuses_ends_the_reports() -> None:
    async with bench(refusing=True) as b:
        await b.supervisor_comes()
        with pytest.raises(Forbidden, match="another version"):
            await asyncio.wait_for(b.running, 10)
        assert not b.reporter.joined.is_set()


async def test_leaving_is_said_in_every_report_from_then_on() -> None:
    async with bench(heartbeat_interval=0.05) as b:
        await b.supervisor_comes()
        assert not (await b.next()).leaving
        b.reporter.leaving()
        while not (await b.next()).leaving:
            pass
        assert (await b.next()).leaving


async def test_leaving_is_the_last_word() -> None:
    async with bench() as b:
        await b.supervisor_comes()
        await b.next()
        await b.reporter.joined.wait()
        await b.reporter.leave(5.0)
        assert (await b.next()).leaving


async def test_leaving_a_supervisor_that_is_away_takes_no_longer_than_allowed() -> None:
    async with bench() as b:
        await b.supervisor_comes()
        await b.next()
        await b.reporter.joined.wait()
        await b.supervisor_goes()
        await asyncio.wait_for(b.reporter.leave(0.5), 5)
