"""Who is computed when, and who gives way, without a model."""

from __future__ import annotations

from itertools import count

import pytest

from tests.unit.model.llm.scheduling.fake_memory import FakeMemory
from xinfer.model.engine import TokenRequest
from xinfer.model.llm.scheduling.layout import Layout
from xinfer.model.llm.scheduling.scheduler import (
    Chunk,
    NoRoom,
    Scheduler,
    Sequence,
    common_prefix,
)


class Bench:
    """A scheduler, and an engine that makes token 1000 + position of everything."""

    def __init__(
        self,
        *,
        slots: int = 4,
        cells: int | None = 1000,
        batch: int = 8,
        partial: bool = True,
        believed: int | None = None,
    ) -> None:
        self.memory = FakeMemory(slots, cells, partial=partial)
        self.scheduler = Scheduler(self.memory, slots=slots, cells=believed or cells, batch=batch)
        self._numbers = count()
        self.steps = 0

    def add(
        self,
        prompt: list[int],
        most: int = 4,
        adapter: str | None = None,
        layout: Layout | None = None,
    ) -> Sequence:
        number = next(self._numbers)
        request = TokenRequest(id=number, prompt=prompt, max_tokens=most, adapter=adapter)
        sequence = Sequence(request, number, layout)
        self.scheduler.add(sequence)
        return sequence

    def step(self) -> list[Chunk]:
        chunks = self.scheduler.plan()
        self.steps += 1
        if not self.memory.compute(chunks):
            self.scheduler.overfull()
            return []
        self.scheduler.computed(chunks)
        for chunk in chunks:
            sequence = chunk.sequence
            if chunk.last:
                sequence.tokens.append(1000 + len(sequence.tokens))
                sequence.output += 1
                if sequence.output == sequence.request.max_tokens:
                    self.scheduler.finish(sequence)
        return chunks

    def run(self, most: int = 1000) -> None:
        while self.scheduler.running or self.scheduler.waiting:
            self.step()
            assert self.steps < most, "no end"


def counts(chunks: list[Chunk]) -> list[tuple[int, int, bool]]:
    return [(chunk.sequence.number, chunk.count, chunk.last) for chunk in chunks]


def test_nothing_to_do_is_an_empty_plan() -> None:
    assert Bench().scheduler.plan() == []


def test_prompts_are_cut_to_the_batch_and_outputs_come_first() -> None:
    bench = Bench(batch=8)
    bench.add([1, 2, 3])
    assert counts(bench.step()) == [(0, 3, True)]
    bench.add(list(range(100, 120)))
    assert counts(bench.step()) == [(0, 1, True), (1, 7, False)]
    assert counts(bench.step()) == [(0, 1, True), (1, 7, False)]
    assert counts(bench.step()) == [(0, 1, True), (1, 6, True)]


def test_more_than_the_slots_wait_in_order() -> None:
    bench = Bench(slots=2)
    sequences = [bench.add([n, n]) for n in range(4)]
    bench.step()
    assert list(bench.scheduler.running) == sequences[:2]
    assert list(bench.scheduler.waiting) == sequences[2:]
    bench.run()


def test_finished_prompt_is_reused_and_its_last_token_computed_again() -> None:
    bench = Bench()
    bench.add([1, 2, 3, 4], most=1)
    bench.run()
    again = bench.add([1, 2, 3, 4], most=1)
    assert counts(bench.step()) == [(1, 1, True)]
    assert again.cached == 3


def test_conversation_goes_on_in_its_slot() -> None:
    bench = Bench()
    first = bench.add([1, 2, 3], most=3)
    bench.run()
    follow = bench.add([*first.tokens, 7, 8], most=1)
    bench.step()
    # The last token that was made has never been computed.
    assert follow.cached == len(first.tokens) - 1


@pytest.mark.parametrize(("cells", "length"), [(5000, 20), (None, 300)])
def test_prefix_of_a_running_sequence_is_shared(cells: int | None, length: int) -> None:
    bench = Bench(cells=cells, batch=512)
    bench.add([*range(length), 1], most=50)
    bench.step()
    other = bench.add([*range(length), 2], most=1)
    bench.step()
    assert other.cached == length
    assert bench.memory.copies == 1


def test_short_prefix_is_not_copied() -> None:
    bench = Bench(batch=512)
    bench.add([*range(5), 1], most=50)
    bench.step()
    other = bench.add([*range(5), 2], most=1)
    bench.step()
    assert other.cached == 0
    assert bench.memory.copies == 0


def test_short_prefix_does_not_cost_a_long_memory() -> None:
    bench = Bench(batch=512)
    long = bench.add(list(range(100)), most=1)
    bench.run()
    bench.add([0, 1, 777], most=1)
    bench.run()
    again = bench.add(long.request.prompt, most=1)
    bench.step()
    assert again.cached == 99


def test_least_recently_used_memory_gives_way_first() -> None:
    bench = Bench(slots=3, cells=120, batch=512)
    for base in (0, 100, 200):
        bench.add([base + n for n in range(30)], most=1)
        bench.run()
    bench.add([300 + n for n in range(50)], most=1)
    bench.run()
    again = bench.add([200 + n for n in range(30)], most=1)
    bench.step()
    assert again.cached == 29
    bench.run()
    gone = bench.add(list(range(30)), most=1)
    bench.step()
    assert gone.cached == 0


def test_memory_of_another_adapter_is_not_reused() -> None:
    bench = Bench()
    bench.add([1, 2, 3, 4], most=1, adapter="a")
    bench.run()
    other = bench.add([1, 2, 3, 4], most=1, adapter="b")
    bench.step()
    assert other.cached == 0


def test_adapters_take_turns() -> None:
    bench = Bench()
    for adapter in ("a", None, "a", "b"):
        bench.add([1], most=9, adapter=adapter)
    seen = [{chunk.sequence.request.adapter for chunk in bench.step()} for _ in range(6)]
    assert all(len(adapters) == 1 for adapters in seen)
    assert seen[:3] == seen[3:]
    assert set().union(*seen) == {"a", "b", None}


def test_one_that_has_no_room_waits_until_another_has_ended() -> None:
    bench = Bench(cells=100, batch=512)
    first = bench.add(list(range(60)), most=5)
    second = bench.add(list(range(200, 260)), most=5)
    bench.step()
    assert list(bench.scheduler.waiting) == [second]
    bench.run()
    assert first.output == second.output == 5


def test_youngest_gives_way_when_outputs_fill_the_cache_and_is_finished_later() -> None:
    bench = Bench(cells=128, batch=512)
    old, young = (bench.add([n] * 20, most=100) for n in (1, 2))
    gave_way = False
    while young.output < 100:
        bench.step()
        gave_way = gave_way or young in bench.scheduler.waiting
        assert old not in bench.scheduler.waiting
    assert gave_way
    assert old.output == young.output == 100


def test_a_step_without_room_against_expectation_is_survived() -> None:
    bench = Bench(cells=100, believed=120, batch=512)
    sequences = [bench.add([n] * 30, most=30) for n in range(4)]
    bench.run()
    assert all(sequence.output == 30 for sequence in sequences)


def test_one_alone_that_does_not_fit_is_told() -> None:
    bench = Bench(cells=50, believed=200, batch=512)
    bench.add([1] * 60, most=5)
    with pytest.raises(NoRoom):
        bench.run()


def test_step_that_was_given_up_is_computed_again() -> None:
    bench = Bench(batch=8)
    bench.add([1, 2], most=9)
    bench.step()
    bench.add(list(range(10, 20)), most=2)
    chunks = bench.scheduler.plan()
    bench.memory.compute(chunks[:1])  # as far as it came
    bench.scheduler.undo(chunks)
    bench.run()


def test_model_that_cannot_forget_a_part_starts_anew() -> None:
    bench = Bench(batch=8, partial=False)
    bench.add([1, 2, 3, 4], most=3)
    bench.run()
    again = bench.add([1, 2, 9, 9], most=1)
    bench.step()
    assert again.cached == 0
    longer = bench.add(list(range(30)), most=2)
    chunks = bench.scheduler.plan()
    bench.memory.compute(chunks)
    bench.scheduler.undo(chunks)
    bench.run()
    assert longer.output == 2


def test_finishing_one_that_waits_takes_it_out() -> None:
    bench = Bench(slots=1)
    bench.add([1], most=5)
    waiting = bench.add([2], most=5)
    bench.step()
    bench.scheduler.finish(waiting)
    bench.scheduler.finish(waiting)
    assert not bench.scheduler.waiting


@pytest.mark.parametrize(
    ("one", "other", "length"),
    [
        ([], [1], 0),
        ([1, 2], [1, 2, 3], 2),
        ([1, 2, 3], [1, 2, 4], 2),
        ([5], [6], 0),
        ([*range(100), 7], [*range(100), 8], 100),
    ],
)
def test_common_prefix(one: list[int], other: list[int], length: int) -> None:
    assert common_prefix(one, other) == common_prefix(other, one) == length


def test_running_slots_lie_together_and_are_computed_in_their_order() -> None:
    bench = Bench(slots=6, batch=512)
    for n in range(4):
        bench.add([n, n], most=3 if n == 1 else 9)
    for _ in range(3):
        bench.step()
    bench.add([9, 9], most=9)
    assert [chunk.slot for chunk in bench.step()] == [0, 2, 3, 4]
