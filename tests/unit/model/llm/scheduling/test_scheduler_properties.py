"""Whatever comes and goes: the cache always holds what is computed on, and everyone ends."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.model.llm.scheduling.test_scheduler import Bench
from xinfer.model.llm.scheduling.layout import Layout, Span

PROMPTS = st.tuples(
    st.integers(0, 3), st.integers(1, 40), st.integers(0, 2), st.sampled_from([None, "a"])
)
"""A shared beginning, its length, an end of its own, an adapter."""
MEDIA = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 14), st.integers(1, 14)), max_size=3)
"""Text before a medium, its tokens, its positions (at most as many as tokens)."""


def with_media(
    prompt: list[int], media: list[tuple[int, int, int]]
) -> tuple[list[int], Layout | None]:
    """The prompt with media in it, of which those of the same size are the same."""
    tokens: list[int] = []
    spans = []
    for before, size, positions in media:
        tokens += prompt[:before]
        prompt = prompt[before:]
        if len(tokens) + size + len(prompt) > 60:
            break
        spans.append(Span(len(tokens), size, min(size, positions)))
        tokens += [-size] * size
    return tokens + (prompt or [0]), Layout(spans) if spans else None


@settings(max_examples=300, deadline=None)
@given(
    arrivals=st.lists(
        st.tuples(PROMPTS, st.integers(1, 30), st.integers(0, 5), st.one_of(st.just([]), MEDIA)),
        max_size=25,
    ),
    cells=st.one_of(st.none(), st.integers(92, 300)),
    optimism=st.integers(0, 60),
    slots=st.integers(1, 5),
    batch=st.integers(5, 64),
    partial=st.booleans(),
    cancelled=st.sets(st.integers(0, 24)),
    undone=st.sets(st.integers(0, 60)),
)
def test_everyone_ends_and_nobody_reads_anothers_tokens(
    arrivals: list[tuple[tuple[int, int, int, str | None], int, int, list[tuple[int, int, int]]]],
    cells: int | None,
    optimism: int,
    slots: int,
    batch: int,
    partial: bool,
    cancelled: set[int],
    undone: set[int],
) -> None:
    believed = None if cells is None else cells + optimism
    bench = Bench(slots=slots, cells=cells, batch=batch, partial=partial, believed=believed)
    sequences = []
    for index, ((kind, length, end, adapter), most, pause, media) in enumerate(arrivals):
        text = [kind * 100 + n for n in range(length)] + [end]
        prompt, layout = with_media(text, media)
        sequence = bench.add(prompt, most=most, adapter=adapter, layout=layout)
        if index in cancelled:
            bench.scheduler.finish(sequence)
        else:
            sequences.append(sequence)
        for _ in range(pause):
            if bench.steps in undone:
                chunks = bench.scheduler.plan()
                if bench.memory.compute(chunks[::2]):
                    bench.scheduler.undo(chunks)
                bench.steps += 1
            elif bench.scheduler.running or bench.scheduler.waiting:
                bench.step()
    bench.run(most=20_000)
    for sequence in sequences:
        assert sequence.output == sequence.request.max_tokens
        assert sequence.tokens[len(sequence.request.prompt) :] == [
            1000 + len(sequence.request.prompt) + n for n in range(sequence.output)
        ]
        assert sequence.cached is not None
        assert sequence.cached < len(sequence.request.prompt)
