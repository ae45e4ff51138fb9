"""Where a value ends in a text that grows. Each character is looked at once."""

from __future__ import annotations

import re

_OUTSIDE = {'"': re.compile(r'["{}\[\]]'), "'": re.compile(r"""["'{}()\[\]]""")}


class BracketEnd:
    """Finds the bracket that closes the first one, with strings left out of account.

    Args:
        start: where to begin.
        python: whether strings may stand in single quotes, and round brackets count.
    """

    __slots__ = ("_at", "_depth", "_end", "_outside", "_quote")

    def __init__(self, start: int = 0, *, python: bool = False) -> None:
        self._outside = _OUTSIDE["'" if python else '"']
        self._at = start
        self._depth = 0
        self._quote = ""
        self._end: int | None = None

    @property
    def in_string(self) -> bool:
        """Whether a string goes on where it has looked up to."""
        return bool(self._quote)

    def find(self, text: str, limit: int | None = None) -> int | None:
        """The position behind the closing bracket; None: it has not come yet.

        Args:
            text: what was given before, and more.
            limit: how far to look; the end of the text by default.
        """
        limit = len(text) if limit is None else limit
        while self._end is None and self._at < limit:
            if self._quote:
                if not self._leave_string(text, limit):
                    return None
                continue
            found = self._outside.search(text, self._at, limit)
            if found is None:
                self._at = limit
                return None
            self._at = found.end()
            self._count(found[0])
        return self._end

    def _count(self, char: str) -> None:
        if char in "\"'":
            self._quote = char
        elif char in "{[(":
            self._depth += 1
        else:
            self._depth -= 1
            if self._depth <= 0:
                self._end = self._at

    def _leave_string(self, text: str, limit: int) -> bool:
        """Go behind the string's end, or to where it may go on."""
        while self._at < limit:
            end = text.find(self._quote, self._at, limit)
            escape = text.find("\\", self._at, end if end >= 0 else limit)
            if escape < 0:
                self._at = end + 1 if end >= 0 else limit
                if end >= 0:
                    self._quote = ""
                return end >= 0
            if escape + 1 >= limit:
                self._at = escape
                return False
            self._at = escape + 2
        return False


class MarkerEnd:
    """Finds a marker."""

    __slots__ = ("_at", "_marker")

    def __init__(self, marker: str, start: int = 0) -> None:
        self._marker = marker
        self._at = start

    def find(self, text: str) -> int | None:
        """The position behind it; None: it has not come yet."""
        found = text.find(self._marker, self._at)
        if found < 0:
            self._at = max(0, len(text) - len(self._marker) + 1)
            return None
        return found + len(self._marker)


def marker_begins(text: str, marker: str) -> int:
    """Where `marker` begins that `text` ends in the midst of; else the length of `text`."""
    start = max(0, len(text) - len(marker) + 1)
    first = marker[0]
    at = text.find(first, start)
    while at >= 0:
        if marker.startswith(text[at:]):
            return at
        at = text.find(first, at + 1)
    return len(text)
