"""The supervisor's actor: what workers may tell it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from xinfer import __version__
from xinfer.core.actors import xo
from xinfer.errors import Forbidden
from xinfer.types.cluster import ReportReply, WorkerReport

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(WorkerReport).decode


class _Versioned(msgspec.Struct):
    """All that is read of a report before it is known to be of our kind."""

    version: str


_decode_version = msgspec.msgpack.Decoder(_Versioned).decode


class SupervisorActor(xo.StatelessActor):  # type: ignore[misc]
    """A thin door to the supervisor."""

    def __init__(self, report: Callable[[WorkerReport], Awaitable[ReportReply]]) -> None:
        super().__init__()
        self._report = report

    async def report(self, payload: bytes) -> bytes:
        """Take in a `WorkerReport`; the answer is a `ReportReply`.

        Raises:
            Forbidden: the worker runs another version.
        """
        version = _decode_version(payload).version
        if version != __version__:
            raise Forbidden(
                f"This worker runs xinfer {version} and the supervisor {__version__}. All nodes "
                f"of a cluster run the same version: install {__version__} here, or upgrade the "
                "supervisor.",
                code="version_mismatch",
            )
        return _encode(await self._report(_decode(payload)))
