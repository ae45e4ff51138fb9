"""Grammars in GBNF, measured before llama.cpp reads them: its parser has hardly any bounds."""

from __future__ import annotations

import re

from xinfer.errors import InvalidRequest

MAX_NESTING = 64
"""Groups within each other. llama.cpp's parser calls itself for each, until the stack ends."""
MAX_ELEMENTS = 50_000
"""Characters, sets and names of a grammar with its repetitions written out, as llama.cpp does."""
MAX_OPTIONAL = 16
"""Items in a row that may be left out. llama.cpp follows every way through them."""

_MOST_TIMES = 2000
"""llama.cpp refuses a larger minimum, and takes a larger maximum for none."""
_PARAM = "guided_grammar"
_TOKEN = re.compile(
    r"""
      (?P<skip>   \s+ | \#[^\r\n]* )
    | (?P<rule>   [A-Za-z0-9-]+[ \t]*::= )
    | (?P<item>   "(?:\\.|[^"\\])*" | \[(?:\\.|[^\]\\])*\] | !?<[^>]*> | [A-Za-z0-9-]+ | \. )
    | (?P<repeat> [*+?] | \{\s*(?P<least>\d+)\s*(?P<range>,\s*(?P<most>\d*)\s*)?\} )
    | (?P<other>  . )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:x..|u.{4}|U.{8}|.)", re.DOTALL)


class _Group:
    """What is open: a rule or a group in brackets, up to where the scan is."""

    __slots__ = ("empty", "last", "optional", "run", "solid")

    def __init__(self) -> None:
        self.empty = False
        """One of its alternatives so far may be empty."""
        self.next_alternative()

    def next_alternative(self) -> None:
        self.last = 0
        """Elements of the last item."""
        self.optional = False
        """The last item may be left out."""
        self.run = 0
        """Items before it, in a row, that may be."""
        self.solid = False
        """An item before it may not be."""

    def add(self, size: int, *, optional: bool) -> None:
        self._settle()
        self.last, self.optional = size, optional

    def end_alternative(self) -> None:
        self._settle()
        self.empty = self.empty or not self.solid

    def _settle(self) -> None:
        if self.optional:
            self.run += 1
        elif self.last:
            self.run, self.solid = 0, True


def check_grammar(source: str) -> None:
    """Refuse a grammar that could take the whole stack, or too much memory or time.

    Whether it is a grammar at all is left to llama.cpp.

    Raises:
        InvalidRequest: it has a zero byte, is nested too deeply, is too large with its repetitions
            written out, or has too many optional items in a row.
    """
    if "\0" in source:
        raise _refused("has a zero byte", "Leave it out.")
    groups = [_Group()]
    elements = 0
    for token in _TOKEN.finditer(source):
        group = groups[-1]
        kind, text = token.lastgroup, token[0]
        if kind == "item":
            size = _size(text)
            group.add(size, optional=not size)
            elements += size
        elif kind == "repeat":
            least, most = _times(token)
            added = group.last * max(0, least - 1) + (group.last + 2) * (most - least)
            group.last += added
            group.optional = group.optional or least == 0
            elements += added
        elif kind == "rule":
            groups = [_Group()]
        elif text == "(":
            groups.append(_Group())
        elif text == "|":
            group.end_alternative()
            group.next_alternative()
        elif text == ")" and len(groups) > 1:
            group.end_alternative()
            groups.pop()
            groups[-1].add(1, optional=group.empty)
            elements += 1
        elif kind == "other" and text in '"[<{':
            return  # it has no end: llama.cpp comes no further either, and refuses it
        if len(groups) > MAX_NESTING:
            raise _refused(
                f"has groups nested more than {MAX_NESTING} deep",
                "Give the inner ones names, as rules of their own.",
            )
        if elements > MAX_ELEMENTS:
            raise _refused(
                f"has more than {MAX_ELEMENTS} elements when its repetitions are written out",
                "Repeat fewer times, or without an upper bound.",
            )
        if groups[-1].run >= MAX_OPTIONAL:
            raise _refused(
                f"has more than {MAX_OPTIONAL} items in a row that may all be left out",
                "Put something that is required between them, or fewer of them.",
            )


def _size(item: str) -> int:
    if item[0] in '"[':
        return len(_ESCAPE.sub(".", item)) - 2
    return 1


def _times(token: re.Match[str]) -> tuple[int, int]:
    """Of a repetition: how often at least, and how often llama.cpp writes it out."""
    text = token[0]
    if text in "*?":
        return 0, 1
    if text == "+":
        return 1, 2
    # More digits than this are out of its bounds anyway.
    least = min(int(token["least"][:9]), _MOST_TIMES)
    if token["range"] is None:
        return least, least
    most = int((token["most"] or "0")[:9])
    return least, most if least <= most <= _MOST_TIMES else least + 1


def _refused(what: str, hint: str) -> InvalidRequest:
    return InvalidRequest(f"The grammar {what}. {hint}", param=_PARAM)
