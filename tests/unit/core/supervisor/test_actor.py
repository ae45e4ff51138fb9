"""The supervisor's door: reports of its own version only."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from tests.unit.core.supervisor.support import report
from xinfer import __version__
from xinfer.core.supervisor.actor import SupervisorActor
from xinfer.errors import Forbidden
from xinfer.types.cluster import ReportReply, WorkerReport


class Door:
    """The actor's method, and what it passed on."""

    def __init__(self) -> None:
        self.passed: list[WorkerReport] = []
        self._actor = SupervisorActor(self._take)

    async def _take(self, report: WorkerReport) -> ReportReply:
        self.passed.append(report)
        return ReportReply(link_token=b"t")

    def report(self, payload: bytes) -> ReportReply:
        reply = asyncio.run(self._actor.report(payload))
        return msgspec.msgpack.decode(reply, type=ReportReply)


def test_a_report_of_the_same_version_is_passed_on() -> None:
    door = Door()
    given = msgspec.structs.replace(report(), version=__version__)
    assert door.report(msgspec.msgpack.encode(given)).link_token == b"t"
    assert door.passed == [given]


@pytest.mark.parametrize(
    "payload",
    [
        msgspec.msgpack.encode(msgspec.structs.replace(report(), version="0.0.9")),
        msgspec.msgpack.encode({"version": "0.0.9", "shape": "of another time"}),
    ],
)
def test_another_version_is_refused_with_both_named_whatever_its_reports_look_like(
    payload: bytes,
) -> None:
    door = Door()
    with pytest.raises(Forbidden, match=rf"runs xinfer 0\.0\.9 and the supervisor {__version__}"):
        door.report(payload)
    assert door.passed == []
