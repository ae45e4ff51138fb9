"""Where media are in a prompt, held against counting one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xinfer.model.llm.scheduling.layout import Layout, Span

PIECES = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 5), st.integers(1, 5)), max_size=6)
"""Tokens of text, then tokens and positions of a medium."""


@given(pieces=PIECES, rest=st.integers(1, 4))
def test_indexes_positions_and_borders(pieces: list[tuple[int, int, int]], rest: int) -> None:
    spans: list[Span] = []
    position_of: dict[int, int] = {}  # of what is not inside of a medium
    index = position = 0
    for text, tokens, positions in [*pieces, (rest, 0, 0)]:
        for _ in range(text):
            position_of[index] = position
            index, position = index + 1, position + 1
        position_of[index] = position
        if tokens:
            spans.append(Span(index, tokens, positions))
        index, position = index + tokens, position + positions
    layout = Layout(spans)
    for at, expected in position_of.items():
        assert layout.position(at) == expected
        assert layout.whole(at) == at
    for at in range(index + 1):
        inside = [span.start for span in spans if span.start < at < span.end]
        assert layout.whole(at) == (inside[0] if inside else at)
        behind = [number for number, span in enumerate(spans) if span.start >= at]
        assert layout.next(at) == (behind[0] if behind else len(spans))
        assert layout.text_end(at, index) == (spans[behind[0]].start if behind else index)
