"""The supervisor's actor: what workers may tell it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from xinfer.core.actors import xo
from xinfer.types.cluster import ReportReply, WorkerReport

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(WorkerReport).decode


class SupervisorActor(xo.StatelessActor):  # type: ignore[misc]
    """A thin door to the supervisor."""

    def __init__(self, report: Callable[[WorkerReport], Awaitable[ReportReply]]) -> None:
        super().__init__()
        self._report = report

    async def report(self, payload: bytes) -> bytes:
        """Take in a `WorkerReport`; the answer is a `ReportReply`."""
        return _encode(await self._report(_decode(payload)))
