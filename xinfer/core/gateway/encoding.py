"""The whole answer to a request for vectors or scores, put together from what batches brought."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import msgspec

from xinfer.errors import EngineFailed
from xinfer.types.event import EncodeFinished, Failed, Rows, Started, Usage

if TYPE_CHECKING:
    from xinfer.core.gateway.replica_link import Attempt

FLOAT_BYTES = 4


class Encoding(msgspec.Struct, frozen=True):
    """Rows of little-endian float32, one for each text, in order; or of `SPARSE_ENTRY`."""

    data: bytearray
    width: int
    """Numbers in a row, where all have as many."""
    usage: Usage
    truncated: tuple[int, ...] = ()
    """Texts that were cut short."""
    waited: float = 0.0
    """Seconds in the waiting room."""
    lengths: tuple[int, ...] = ()
    """Of sparse vectors: bytes of each row."""

    def rows(self) -> list[memoryview]:
        """The bytes of each row."""
        view, step = memoryview(self.data), FLOAT_BYTES * self.width
        if self.lengths:
            ends = list(accumulate(self.lengths, initial=0))
            return [view[start:end] for start, end in pairwise(ends)]
        return [view[start : start + step] for start in range(0, len(view), step)]


async def collect_rows(attempt: Attempt, started: Started, texts: int) -> Encoding:
    """All rows of `texts` texts.

    Raises:
        XinferError: the request failed, or what came is not whole.
    """
    data = bytearray()
    sparse: dict[int, bytes] = {}
    step = got = 0
    while True:
        for event in await attempt.take():
            if isinstance(event, Rows) and event.lengths:
                sparse.update(_sparse_rows(event))
                got += len(event.indices)
            elif isinstance(event, Rows):
                if not data:
                    step = len(event.data) // len(event.indices)
                    data = bytearray(texts * step)
                _place(data, step, event)
                got += len(event.indices)
            elif isinstance(event, EncodeFinished):
                if got != texts:
                    raise EngineFailed(f"The model answered {got} of {texts} texts.")
                if sparse:
                    rows = [sparse[index] for index in range(texts)]
                    data, lengths = bytearray().join(rows), tuple(map(len, rows))
                else:
                    lengths = ()
                return Encoding(
                    data, step // FLOAT_BYTES, event.usage, event.truncated, started.waited, lengths
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


def _sparse_rows(rows: Rows) -> Iterator[tuple[int, bytes]]:
    """Each row with its text's index."""
    start = 0
    for index, length in zip(rows.indices, rows.lengths, strict=True):
        yield index, rows.data[start : start + length]
        start += length
