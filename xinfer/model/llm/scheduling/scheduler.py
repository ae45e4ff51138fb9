"""What the next step computes: who is admitted, which tokens, and who gives way when it is full.

A sequence is a list of tokens of which the first so many are in
the KV cache; the rest is to be computed, and after the last of them a token is sampled. A prompt,
a resumed output and a sequence that had to give way are therefore one case. The tokens of a medium
are numbers that stand for it; it is computed as a whole, in a step of its own.
"""

from __future__ import annotations

from collections.abc import Sequence as Tokens
from typing import Protocol

from xinfer.model.engine import TokenRequest
from xinfer.model.llm.scheduling.layout import Layout

COPY_LEAST = 16
"""Tokens from which a prefix that another slot holds is shared with it."""
COPY_LEAST_APART = 256
"""The same where each slot has its own part of the cache: there it is really copied."""
LITTLE = 256
"""Tokens that are soon computed again, so that forgetting them is no loss."""
HEADROOM = 32
"""Tokens that a running sequence is expected to grow by before a waiting one is let in."""


class NoRoom(Exception):
    """One sequence has all of the cache, and it is not enough."""


class Memory(Protocol):
    """The KV cache, as much of it as scheduling needs."""

    def remove(self, slot: int, start: int) -> bool:
        """Forget a slot's tokens from position `start` on; False: this model cannot."""
        ...

    def copy(self, source: int, target: int) -> None:
        """Make an empty slot hold what another one does."""
        ...

    def continues(self, slot: int, start: int) -> bool:
        """Whether computing can go on at `start` with what the slot still holds."""
        ...


class Sequence:
    """One request on its way through the engine."""

    __slots__ = (
        "cached",
        "cancelled",
        "computed",
        "layout",
        "number",
        "output",
        "request",
        "slot",
        "tokens",
    )

    def __init__(self, request: TokenRequest, number: int, layout: Layout | None = None) -> None:
        self.request = request
        self.number = number
        self.tokens = [*request.prompt, *request.resume]
        self.output = len(request.resume)
        """Tokens generated, those that are resumed included."""
        self.computed = 0
        """tokens[:computed] are in the KV cache."""
        self.cached: int | None = None
        """Tokens of the prompt that were found there; None before the first time it got a slot."""
        self.slot: int | None = None
        self.cancelled = False
        self.layout = layout
        """Where the prompt's media are; None when it is all text."""

    @property
    def pending(self) -> int:
        return len(self.tokens) - self.computed

    @property
    def text(self) -> int:
        """Of those that are pending, how many come before the next medium."""
        end = len(self.tokens)
        if self.layout is not None:
            end = self.layout.text_end(self.computed, end)
        return end - self.computed

    def text_tokens(self) -> list[int]:
        """All tokens but those that stand for media."""
        if self.layout is None:
            return self.tokens
        return [token for token in self.tokens if token >= 0]

    def position(self, index: int) -> int:
        """The model's position of a token that is not inside of a medium."""
        return index if self.layout is None else self.layout.position(index)


class Slot:
    """A place in the cache. When nothing runs in it, it keeps what it last computed."""

    __slots__ = ("adapter", "index", "kept", "sequence", "shared", "used")

    def __init__(self, index: int) -> None:
        self.index = index
        self.sequence: Sequence | None = None
        self.kept: list[int] = []
        """The tokens in it, while no sequence runs in it."""
        self.adapter: str | None = None
        """What they were computed with."""
        self.shared = 0
        """Of its first tokens, those that another slot holds in the same cells."""
        self.used = 0

    def held(self) -> list[int]:
        """The tokens in it."""
        sequence = self.sequence
        return self.kept if sequence is None else sequence.tokens[: sequence.computed]

    @property
    def cells(self) -> int:
        sequence = self.sequence
        held = len(self.kept) if sequence is None else sequence.computed
        return held - self.shared


class Chunk:
    """Tokens of one sequence that a step computes: text, or all of one medium."""

    __slots__ = ("count", "last", "medium", "position", "sequence", "slot", "start")

    def __init__(
        self, sequence: Sequence, slot: int, count: int, medium: int | None = None
    ) -> None:
        self.sequence = sequence
        self.slot = slot
        self.start = sequence.computed
        self.position = sequence.position(self.start)
        """The first token's, as the model counts."""
        self.count = count
        self.medium = medium
        """Its number in the sequence's layout; None: text."""
        self.last = count == sequence.pending
        """Whether a token is sampled after them."""

    @property
    def tokens(self) -> list[int]:
        return self.sequence.tokens[self.start : self.start + self.count]


class Scheduler:
    """Continuous batching: every step has all running outputs in it, then as much of the prompts
    as there is room for.

    Args:
        memory: the KV cache.
        slots: sequences that run at once.
        cells: tokens the cache holds in all; None: every slot has its own part, which is never
            too small.
        batch: tokens in one step, at least `slots`.
    """

    def __init__(self, memory: Memory, *, slots: int, cells: int | None, batch: int) -> None:
        self._memory = memory
        self._cells = cells
        self._batch = batch
        self._copy_least = COPY_LEAST if cells is not None else COPY_LEAST_APART
        self._slots = [Slot(index) for index in range(slots)]
        self._waiting: list[Sequence] = []
        self._running: list[Sequence] = []
        self._clock = 0
        self._turn: str | None = None
        self._overfull = False
        self._computed_medium = False

    @property
    def running(self) -> Tokens[Sequence]:
        """Those that hold a slot, the oldest first."""
        return self._running

    @property
    def waiting(self) -> Tokens[Sequence]:
        return self._waiting

    def add(self, sequence: Sequence) -> None:
        """Take a sequence; it gets its slot with the next step that has room for it."""
        self._waiting.append(sequence)

    def plan(self) -> list[Chunk]:
        """What to compute now; empty when there is nothing to do.

        All of one adapter; a medium comes alone.
        """
        self._admit()
        while self._running:
            for adapter in self._adapters_in_turn():
                chunks = self._next([s for s in self._running if s.request.adapter == adapter])
                if chunks:
                    self._turn = adapter
                    return chunks
            self.make_room()
        return []

    def computed(self, chunks: Tokens[Chunk]) -> None:
        """A step has been computed."""
        self._overfull = False
        for chunk in chunks:
            chunk.sequence.computed += chunk.count

    def undo(self, chunks: Tokens[Chunk]) -> None:
        """A step was given up half-way: what it may have computed is forgotten."""
        for chunk in chunks:
            if chunk.sequence.slot is None:
                continue
            kept = self._memory.remove(chunk.slot, chunk.position)
            if not kept or (chunk.start and not self._memory.continues(chunk.slot, chunk.position)):
                self._give_up(chunk.sequence)

    def overfull(self) -> None:
        """The cache had no room for a step, against expectation: nobody comes in before the next.

        (What slots share counts once here, and stays when the slot that is thought to hold it
        lets go.)

        Raises:
            NoRoom: as of `make_room`.
        """
        self._overfull = True
        self.make_room()

    def finish(self, sequence: Sequence) -> None:
        """Let go of a sequence. What it computed stays until the room is needed."""
        if sequence.slot is None:
            if sequence in self._waiting:
                self._waiting.remove(sequence)
            return
        slot = self._slots[sequence.slot]
        slot.kept = sequence.tokens[: sequence.computed]
        slot.sequence = None
        self._clock += 1
        slot.used = self._clock
        sequence.slot = None
        self._running.remove(sequence)

    def make_room(self) -> None:
        """Free cells: of what nobody uses, the least recently used; else of the youngest sequence,
        which waits and is computed again.

        Raises:
            NoRoom: there is nobody who could give way.
        """
        idle = [slot for slot in self._slots if slot.sequence is None and slot.kept]
        if idle:
            self._clear(min(idle, key=lambda slot: slot.used))
            return
        if len(self._running) <= 1:
            raise NoRoom
        self._give_up(self._running[-1])

    def _next(self, sequences: list[Sequence]) -> list[Chunk]:
        """Text and media take turns, so that neither holds up the other."""
        media = [s for s in sequences if s.layout is not None and s.text == 0]
        if not media:
            return self._chunks(sequences)
        chunks = [] if self._computed_medium else self._medium(media)
        self._computed_medium = bool(chunks)
        if not chunks:
            chunks = self._chunks([s for s in sequences if s not in media])
        if not chunks:
            chunks = self._medium([s for s in media if s.slot is not None])  # some gave way
            self._computed_medium = bool(chunks)
        return chunks

    def _medium(self, sequences: list[Sequence]) -> list[Chunk]:
        """The first medium that there is room for."""
        for sequence in sequences:
            assert sequence.layout is not None
            assert sequence.slot is not None
            number = sequence.layout.next(sequence.computed)
            count = sequence.layout.spans[number].tokens
            if self._free(count) >= count:
                return [Chunk(sequence, sequence.slot, count, number)]
        return []

    def _chunks(self, sequences: list[Sequence]) -> list[Chunk]:
        decoding = [sequence for sequence in sequences if sequence.pending == 1]
        while self._lacks(len(decoding)):
            before = len(self._running)
            self.make_room()
            if len(self._running) < before:  # perhaps one of these
                return self._chunks([s for s in sequences if s.slot is not None])
        chunks = [self._chunk(sequence, 1) for sequence in decoding]
        planned = len(chunks)
        for sequence in sequences:
            if sequence.pending == 1:
                continue
            count = min(sequence.text, self._batch - planned)
            count = min(count, self._free(planned + count) - planned)
            if count <= 0:
                break
            chunks.append(self._chunk(sequence, count))
            planned += count
        # Neighbours can be computed together, llama.cpp's only in this order.
        return sorted(chunks, key=lambda chunk: chunk.slot)

    @staticmethod
    def _chunk(sequence: Sequence, count: int) -> Chunk:
        assert sequence.slot is not None
        return Chunk(sequence, sequence.slot, count)

    def _used(self) -> int:
        return sum(slot.cells for slot in self._slots)

    def _lacks(self, wanted: int) -> bool:
        return self._cells is not None and self._used() + wanted > self._cells

    def _free(self, wanted: int) -> int:
        """Cells that can be had without taking any from a running sequence; stops at `wanted`."""
        if self._cells is None:
            return wanted
        while self._lacks(wanted):
            idle = [slot for slot in self._slots if slot.sequence is None and slot.kept]
            if not idle:
                break
            self._clear(min(idle, key=lambda slot: slot.used))
        return min(wanted, self._cells - self._used())

    def _adapters_in_turn(self) -> list[str | None]:
        """Adapters take turns: a step has one."""
        adapters = list(dict.fromkeys(s.request.adapter for s in self._running))
        after = adapters.index(self._turn) + 1 if self._turn in adapters else 0
        return adapters[after:] + adapters[:after]

    def _admit(self) -> None:
        """Give slots to those that wait, first come, first served, while all of each one's tokens
        have room beside all of the others'."""
        while self._waiting:
            sequence = self._waiting[0]
            free = [slot for slot in self._slots if slot.sequence is None]
            if not free:
                return
            if self._running and (self._overfull or not self._has_room(sequence)):
                return
            del self._waiting[0]
            self._place(sequence, free)

    def _has_room(self, sequence: Sequence) -> bool:
        if self._cells is None:
            return True
        taken = sum(
            _needs(running) - self._slots[running.slot].shared
            for running in self._running
            if running.slot is not None
        )
        return taken + _needs(sequence) <= self._cells

    def _place(self, sequence: Sequence, free: list[Slot]) -> None:
        """Put a sequence into the free slot that saves most computing."""
        source, reuse = self._best_prefix(sequence)
        others = [slot for slot in free if slot is not source]
        in_place = source is not None and source.sequence is None
        if source is not None and in_place and (2 * reuse >= len(source.kept) or not others):
            self._enter(sequence, source, reuse)
            return
        target = self._least_missed(others)
        self._clear(target)
        if source is not None and reuse >= self._copy_least:
            self._memory.copy(source.index, target.index)
            target.shared = reuse if self._cells is not None else 0
        else:
            reuse = 0
        self._enter(sequence, target, reuse)

    def _least_missed(self, slots: list[Slot]) -> Slot:
        """An empty slot, one that keeps little, or one of the half that has been kept for longest;
        among these one beside a slot that runs, for the sake of `_chunks`."""
        empty = [slot for slot in slots if not slot.kept]
        little = [slot for slot in slots if len(slot.kept) < LITTLE]
        oldest = sorted(slots, key=lambda slot: slot.used)[: (len(slots) + 1) // 2]
        return max(empty or little or oldest, key=lambda slot: (self._neighbours(slot), -slot.used))

    def _neighbours(self, slot: Slot) -> int:
        """How many of the two slots beside this one are running."""
        beside = (slot.index - 1, slot.index + 1)
        return sum(running.slot in beside for running in self._running)

    def _best_prefix(self, sequence: Sequence) -> tuple[Slot | None, int]:
        """The slot that holds the most of a sequence's beginning, and how many tokens of it."""
        # At least one token has to be computed, for its logits.
        most = len(sequence.tokens) - 1
        best, reuse = None, 0
        for slot in self._slots:
            if slot.adapter == sequence.request.adapter:
                length = min(common_prefix(slot.held(), sequence.tokens), most)
                if sequence.layout is not None:
                    length = sequence.layout.whole(length)
                if length > reuse:
                    best, reuse = slot, length
        return best, reuse

    def _enter(self, sequence: Sequence, slot: Slot, reuse: int) -> None:
        """Begin in this slot behind its first `reuse` tokens."""
        memory = self._memory
        position = sequence.position(reuse)
        kept = reuse and memory.remove(slot.index, position)
        if not (kept and memory.continues(slot.index, position)):
            reuse = 0
        if not reuse:
            memory.remove(slot.index, 0)
        slot.kept = []
        slot.shared = min(slot.shared, reuse)
        slot.adapter = sequence.request.adapter
        slot.sequence = sequence
        sequence.slot = slot.index
        sequence.computed = reuse
        if sequence.cached is None:
            sequence.cached = min(reuse, len(sequence.request.prompt))
        self._running.append(sequence)
        self._running.sort(key=lambda running: running.number)

    def _give_up(self, sequence: Sequence) -> None:
        """Take a sequence's slot; it waits for another and is computed anew."""
        assert sequence.slot is not None
        slot = self._slots[sequence.slot]
        slot.sequence = None
        self._clear(slot)
        sequence.slot = None
        sequence.computed = 0
        self._running.remove(sequence)
        self._waiting.append(sequence)
        self._waiting.sort(key=lambda waiting: waiting.number)

    def _clear(self, slot: Slot) -> None:
        self._memory.remove(slot.index, 0)
        slot.kept = []
        slot.shared = 0
        slot.used = 0


def _needs(sequence: Sequence) -> int:
    """Cells for all of a sequence's tokens, and for some to come."""
    left = sequence.request.max_tokens - sequence.output
    return len(sequence.tokens) + min(left, HEADROOM)


def common_prefix(one: list[int], other: list[int]) -> int:
    """Length of the longest common prefix."""
    length = min(len(one), len(other))
    if one[:length] == other[:length]:
        return length
    low, high = 0, length  # one[:low] is common, one[:high] is not
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
