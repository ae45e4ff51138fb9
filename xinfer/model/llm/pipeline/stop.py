"""Stop strings in a text that arrives in pieces."""

from __future__ import annotations

from array import array
from collections.abc import Sequence


class StopStrings:
    """Finds the stop string that is complete first, however the text is cut into pieces.

    Of several that are complete at the same character the longest counts. The text ends where it
    begins. A suffix that may yet become a stop string is held back.

    Args:
        strings: none of them empty.
    """

    __slots__ = ("_borders", "_first", "_held", "_matched", "_strings", "hit")

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = tuple(strings)
        self._borders = [_borders(string) for string in strings]
        self._first = frozenset(string[0] for string in strings)
        self._matched = [0] * len(strings)
        self._held = ""
        self.hit: str | None = None
        """The stop string that ended the text."""

    def feed(self, text: str) -> tuple[str, bool]:
        """The text that can be delivered, and whether it has ended with a stop string.

        After the end no more may be fed.
        """
        if not self._held and self._first.isdisjoint(text):
            return text, False
        text, start = self._held + text, len(self._held)
        for position in range(start, len(text)):
            stop = self._advance(text[position])
            if stop:
                self._held = ""
                self.hit = text[position + 1 - stop : position + 1]
                return text[: position + 1 - stop], True
        cut = len(text) - max(self._matched)
        self._held = text[cut:]
        return text[:cut], False

    def flush(self) -> str:
        """The end: what was held back."""
        text, self._held = self._held, ""
        return text

    def _advance(self, char: str) -> int:
        """Match one more character (Knuth, Morris, Pratt).

        Returns:
            The length of the longest stop string that is complete with it; 0: none is.
        """
        complete = 0
        for index, string in enumerate(self._strings):
            matched = self._matched[index]
            while matched and string[matched] != char:
                matched = self._borders[index][matched - 1]
            if string[matched] == char:
                matched += 1
            self._matched[index] = matched
            if matched == len(string):
                complete = max(complete, matched)
        return complete


def _borders(string: str) -> array[int]:
    """For each prefix, the length of its longest proper prefix that is also its suffix."""
    borders = array("I", [0])
    border = 0
    for char in string[1:]:
        while border and string[border] != char:
            border = borders[border - 1]
        if string[border] == char:
            border += 1
        borders.append(border)
    return borders
