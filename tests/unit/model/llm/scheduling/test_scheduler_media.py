"""Media among the text of prompts: each a step of its own, whole, and taking turns with text."""

from __future__ import annotations

from tests.unit.model.llm.scheduling.test_scheduler import Bench, counts
from xinfer.model.llm.scheduling.layout import Layout, Span

PICTURE = [-7] * 20
"""Larger than the batch."""


def test_a_medium_is_computed_whole_and_alone_between_the_text() -> None:
    bench = Bench(batch=8)
    layout = Layout([Span(3, 20, 20), Span(23, 5, 2)])
    bench.add([1, 2, 3, *PICTURE, *[-8] * 5, 4, 5], layout=layout)
    assert counts(bench.step()) == [(0, 3, False)]
    first, second, text = bench.step(), bench.step(), bench.step()
    assert [(chunk.count, chunk.medium) for chunk in first + second] == [(20, 0), (5, 1)]
    assert counts(text) == [(0, 2, True)]
    assert (second[0].position, text[0].position) == (23, 25)
    bench.run()


def test_a_medium_at_the_very_beginning() -> None:
    bench = Bench(batch=8)
    bench.add([*PICTURE, 1], layout=Layout([Span(0, 20, 4)]))
    assert bench.step()[0].medium == 0
    assert bench.step()[0].position == 4
    bench.run()


def test_media_and_text_take_turns() -> None:
    bench = Bench(batch=8)
    bench.add([1, 2], most=20)
    bench.step()
    for _ in range(2):
        spans = [Span(20 * number, 20, 20) for number in range(3)]
        bench.add([*PICTURE * 3, 5], layout=Layout(spans))
    kinds = [bench.step()[0].medium is None for _ in range(12)]
    assert kinds == [False, True] * 6
    bench.run()


def test_a_medium_is_reused_whole_or_not_at_all() -> None:
    bench = Bench()
    layout = Layout([Span(2, 20, 3)])
    first = bench.add([1, 2, *PICTURE, 3, 4], layout=layout)
    bench.run()
    again = bench.add([1, 2, *PICTURE, 3, 5], layout=layout)
    bench.run()
    other = bench.add([1, 2, *[-9] * 20, 3, 4], layout=layout)
    bench.run()
    longer = Layout([Span(2, 20, 3), Span(22, 20, 3)])
    behind = bench.add([1, 2, *PICTURE * 2, 3], layout=longer)
    bench.run()
    assert [sequence.cached for sequence in (first, again, other, behind)] == [0, 23, 0, 22]


def test_a_prefix_that_ends_inside_of_a_medium_ends_before_it() -> None:
    bench = Bench()
    bench.add([1] * 20 + PICTURE + [3], layout=Layout([Span(20, 20, 20)]))
    bench.run()
    larger = bench.add([1] * 20 + PICTURE + [-7, 3], layout=Layout([Span(20, 21, 21)]))
    bench.run()
    assert larger.cached == 20


def test_a_medium_is_not_tried_where_it_has_no_room() -> None:
    bench = Bench(cells=136, batch=2, slots=2)
    bench.add([1] * 8, most=80)
    bench.add([2] * 60 + [-7] * 30 + [3], layout=Layout([Span(60, 30, 30)]))
    gave_way = 0
    while bench.scheduler.running or bench.scheduler.waiting:
        chunks = bench.step()
        assert chunks, "a step that the cache had no room for"
        gave_way += len(bench.scheduler.waiting)
    assert gave_way, "there was room all the time"


def test_what_was_undone_around_a_medium_is_computed_again() -> None:
    bench = Bench(batch=8)
    sequence = bench.add([1, 2, *PICTURE, 3, 4], layout=Layout([Span(2, 20, 3)]))
    for held in ([], [1, 2], [1, 2, *PICTURE]):
        chunks = bench.scheduler.plan()
        bench.memory.compute(chunks)
        bench.scheduler.undo(chunks)
        assert bench.memory.held(0) == held == sequence.tokens[: sequence.computed]
        bench.step()
    bench.run()
