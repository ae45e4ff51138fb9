"""A KV cache of cells that hold one token each, with llama.cpp's rules and none of its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from xinfer.model.llm.llama_cpp.scheduler import Chunk


class FakeMemory:
    """Refuses a step that does not fit, and checks that each chunk goes on where it should.

    Args:
        cells: None: a part for each slot, of any size.
        partial: whether the end of a slot can be forgotten without the rest.
    """

    def __init__(self, slots: int, cells: int | None = None, *, partial: bool = True) -> None:
        self.slots: list[list[tuple[int, int]]] = [[] for _ in range(slots)]
        self.copies = 0
        self._cells = cells
        self._partial = partial
        self._numbers = count()

    def used(self) -> int:
        return len({cell for slot in self.slots for cell, _ in slot})

    def held(self, slot: int) -> list[int]:
        return [token for _, token in self.slots[slot]]

    def remove(self, slot: int, start: int) -> bool:
        if start and not self._partial and start < len(self.slots[slot]):
            return False
        del self.slots[slot][start:]
        return True

    def copy(self, source: int, target: int) -> None:
        assert source != target
        assert not self.slots[target], "llama.cpp would mix them up"
        shared = self._cells is not None
        self.copies += 1
        self.slots[target] = [
            (cell if shared else next(self._numbers), token) for cell, token in self.slots[source]
        ]

    def continues(self, slot: int, start: int) -> bool:
        return len(self.slots[slot]) == start > 0

    def compute(self, chunks: Sequence[Chunk]) -> bool:
        """False: no room, and nothing has changed."""
        wanted = sum(chunk.count for chunk in chunks)
        if self._cells is not None and self.used() + wanted > self._cells:
            return False
        for chunk in chunks:
            before = chunk.sequence.tokens[: chunk.start]
            assert self.held(chunk.slot) == before, "the cache holds something else"
            assert len(chunk.tokens) == chunk.count > 0
            self.slots[chunk.slot] += [(next(self._numbers), token) for token in chunk.tokens]
        return True
