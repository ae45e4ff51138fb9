"""The whole answer to a request for vectors or scores, put together from what batches brought."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from xinfer.errors import EngineFailed
from xinfer.types.event import EncodeFinished, Failed, Rows, Started, Usage

if TYPE_CHECKING:
    from xinfer.core.gateway.replica_link import Attempt

FLOAT_BYTES = 4


class Encoding(msgspec.Struct, frozen=True):
    """Rows of little-endian float32, one for each text, in order."""

    data: bytearray
    width: int
    """Numbers in a row."""
    usage: Usage
    truncated: tuple[int, ...] = ()
    """Texts that were cut short."""
    waited: float = 0.0
    """Seconds in the waiting room."""

    def rows(self) -> list[memoryview]:
        """The bytes of each row."""
        view, step = memoryview(self.data), FLOAT_BYTES * self.width
        return [view[start : start + step] for start in range(0, len(view), step)]


async def collect_rows(attempt: Attempt, started: Started, texts: int) -> Encoding:
    """All rows of `texts` texts.

    Raises:
        XinferError: the request failed, or what came is not whole.
    """
    data = bytearray()
    step = got = 0
    while True:
        for event in await attempt.take():
            if isinstance(event, Rows):
                if not data:
                    step = len(event.data) // len(event.indices)
                    data = bytearray(texts * step)
                _place(data, step, event)
                got += len(event.indices)
            elif isinstance(event, EncodeFinished):
                if got != texts:
                    raise EngineFailed(f"The model answered {got} of {texts} texts.")
                return Encoding(
                    data, step // FLOAT_BYTES, event.usage, event.truncated, started.waited
                )
            elif isinstance(event, Failed):
                raise event.failure.error()


def _place(data: bytearray, step: int, rows: Rows) -> None:
    """Put each row where it belongs."""
    indices, source = rows.indices, rows.data
    if len(source) != step * len(indices):
        raise EngineFailed("The model's results are of different lengths.")
    for position, index in enumerate(indices):
        data[index * step : (index + 1) * step] = source[position * step : (position + 1) * step]
