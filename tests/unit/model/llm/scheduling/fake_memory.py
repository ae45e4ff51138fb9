"""A KV cache of cells that hold one token each, with llama.cpp's rules and none of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

from xinfer.model.llm.scheduling.scheduler import Chunk


class Cell(NamedTuple):
    number: int
    token: int
    position: int
    after: int
    """The position that what comes behind its medium has, or behind the token."""


class FakeMemory:
    """Refuses a step that does not fit, and checks that each chunk goes on where it should.

    All tokens of a medium have the position of its first one, as with M-RoPE.

    Args:
        cells: None: a part for each slot, of any size.
        partial: whether the end of a slot can be forgotten without the rest.
    """

    def __init__(self, slots: int, cells: int | None = None, *, partial: bool = True) -> None:
        self.slots: list[list[Cell]] = [[] for _ in range(slots)]
        self.copies = 0
        self._cells = cells
        self._partial = partial
        self._numbers = count()

    def used(self) -> int:
        return len({cell.number for slot in self.slots for cell in slot})

    def held(self, slot: int) -> list[int]:
        return [cell.token for cell in self.slots[slot]]

    def end(self, slot: int) -> int:
        return self.slots[slot][-1].after if self.slots[slot] else 0

    def remove(self, slot: int, start: int) -> bool:
        if start and not self._partial and start < self.end(slot):
            return False
        self.slots[slot] = [cell for cell in self.slots[slot] if cell.position < start]
        return True

    def copy(self, source: int, target: int) -> None:
        assert source != target
        assert not self.slots[target], "llama.cpp would mix them up"
        shared = self._cells is not None
        self.copies += 1
        self.slots[target] = [
            cell if shared else cell._replace(number=next(self._numbers))
            for cell in self.slots[source]
        ]

    def continues(self, slot: int, start: int) -> bool:
        return self.end(slot) == start > 0

    def compute(self, chunks: Sequence[Chunk]) -> bool:
        """False: no room, and nothing has changed."""
        wanted = sum(chunk.count for chunk in chunks)
        if self._cells is not None and self.used() + wanted > self._cells:
            return False
        for chunk in chunks:
            before = chunk.sequence.tokens[: chunk.start]
            assert self.held(chunk.slot) == before, "the cache holds something else"
            assert self.end(chunk.slot) == chunk.position, "not where the model counts on"
            assert len(chunk.tokens) == chunk.count > 0
            if chunk.medium is None:
                self._add_text(chunk)
            else:
                assert len(chunks) == 1, "a medium is not alone"
                self._add_medium(chunk, chunk.medium)
        return True

    def _add_text(self, chunk: Chunk) -> None:
        assert min(chunk.tokens) >= 0, "a medium was taken for text"
        for position, token in enumerate(chunk.tokens, chunk.position):
            self.slots[chunk.slot].append(Cell(next(self._numbers), token, position, position + 1))

    def _add_medium(self, chunk: Chunk, number: int) -> None:
        assert chunk.sequence.layout is not None
        span = chunk.sequence.layout.spans[number]
        assert (span.start, span.tokens) == (chunk.start, chunk.count), "not a whole medium"
        after = chunk.position + span.positions
        self.slots[chunk.slot] += [
            Cell(next(self._numbers), token, chunk.position, after) for token in chunk.tokens
        ]
