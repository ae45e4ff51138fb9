"""Where media lie among a prompt's tokens, and at which positions of the model."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple


class Span(NamedTuple):
    """One medium, or a part of one, that is computed as a whole."""

    start: int
    """Its first token's index in the prompt."""
    tokens: int
    positions: int
    """How far the model counts on over it: for some models less than one a token."""

    @property
    def end(self) -> int:
        return self.start + self.tokens


class Layout:
    """The media of one prompt, in order."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans = tuple(spans)
        self._starts = [span.start for span in spans]
        self._saved = [0, *accumulate(span.tokens - span.positions for span in spans)]

    def position(self, index: int) -> int:
        """The model's position of the token at an index that is not inside of a medium."""
        return index - self._saved[bisect_left(self._starts, index)]

    def whole(self, index: int) -> int:
        """The index, or where the medium begins that it is inside of."""
        before = bisect_left(self._starts, index) - 1
        inside = before >= 0 and index < self.spans[before].end
        return self._starts[before] if inside else index

    def next(self, index: int) -> int:
        """The number of the first medium that begins at an index or behind it."""
        return bisect_left(self._starts, index)

    def text_end(self, index: int, end: int) -> int:
        """Where the text from `index` on ends: at the next medium, or at `end`."""
        number = self.next(index)
        return self._starts[number] if number < len(self._starts) else end
