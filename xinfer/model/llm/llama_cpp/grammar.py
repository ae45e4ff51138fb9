"""Grammars in GBNF, measured before llama.cpp reads them: its parser has hardly any bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from xinfer.errors import InvalidRequest

MAX_NESTING = 64
"""Groups within each other. llama.cpp's parser calls itself for each, until the stack ends."""
MAX_ELEMENTS = 50_000
"""Characters, sets and names of a grammar with its repetitions written out, as llama.cpp does."""
MAX_OPTIONAL = 16
"""Items in a row that may be left out. llama.cpp follows every way through them."""

_MOST_TIMES = 2000
"""llama.cpp refuses a larger minimum, and takes a larger maximum for none."""
_MOST_ROUNDS = 8
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

    __slots__ = ("empty", "last", "optional", "run", "solid", "ways", "weight")

    def __init__(self) -> None:
        self.empty = False
        """One of its alternatives so far may be empty."""
        self.ways = 1
        """Through those that may be."""
        self.next_alternative()

    def next_alternative(self) -> None:
        self.last = 0
        """Elements of the last item."""
        self.optional = False
        """The last item may be left out."""
        self.weight = 1
        """Optional items that it is worth, with those in it."""
        self.run = 0
        """The same of all those in a row before it."""
        self.solid = False
        """An item before it may not be left out."""

    def add(self, size: int, ways: int) -> None:
        """One more item; `ways` is 0 for one that may not be left out."""
        self._settle()
        self.last, self.optional, self.weight = size, ways > 0, max(1, ways)

    def repeat(self, least: int, most: int) -> int:
        """Repeat the last item; returns the elements that this adds."""
        if self.optional:
            self.weight *= max(1, most)
        self.optional = self.optional or least == 0
        added = self.last * max(0, least - 1) + (self.last + 2) * (most - least)
        self.last += added
        return added

    def end_alternative(self) -> None:
        self._settle()
        if not self.solid:
            self.empty = True
            self.ways = max(self.ways, self.run)

    def _settle(self) -> None:
        if self.optional:
            self.run += self.weight
        elif self.last:
            self.run, self.solid = 0, True
        self.last, self.optional = 0, False


def check_grammar(source: str) -> None:
    """Refuse a grammar that could take the whole stack, or too much memory or time.

    Whether it is a grammar at all is left to llama.cpp. (One can still become ambiguous only with
    the text that it is to read; see `Sampler`.)

    Raises:
        InvalidRequest: it has a zero byte or a token in angle brackets, is nested too deeply, is
            too large with its repetitions written out, or has too many optional items in a row.
    """
    if "\0" in source:
        raise _refused("has a zero byte", "Leave it out.")
    tokens = _tokens(source)
    if any(token[0].startswith(("<", "!<")) for token in tokens):
        # llama.cpp lets another token that begins with the text before it through, and then ends
        # the process over it.
        raise _refused("has a token in angle brackets", "Write the token's text, in quotes.")
    optional: dict[str, int] = {}
    for _ in range(_MOST_ROUNDS):
        found = _optional_rules(tokens, optional)
        if found == optional:
            return
        optional = found
    raise _refused(
        f"has more than {_MOST_ROUNDS} rules within each other that may all be empty",
        "Put something that is required into them.",
    )


def _tokens(source: str) -> list[re.Match[str]]:
    """What a grammar consists of, up to something without an end: llama.cpp, too, comes no further,
    and refuses it."""
    tokens = []
    for token in _TOKEN.finditer(source):
        if token.lastgroup == "other" and token[0] in '"[<{':
            break
        if token.lastgroup != "skip":
            tokens.append(token)
    return tokens


def _optional_rules(tokens: Sequence[re.Match[str]], known: Mapping[str, int]) -> dict[str, int]:
    """Rules that may be empty, with the ways through each, as far as it follows from those known.

    Raises:
        InvalidRequest: as of `check_grammar`.
    """
    found: dict[str, int] = {}
    name = ""
    groups = [_Group()]
    elements = 0
    for token in (*tokens, None):
        group = groups[-1]
        kind, text = (token.lastgroup, token[0]) if token is not None else ("rule", "")
        if token is None or kind == "rule":
            groups[0].end_alternative()
            if name and groups[0].empty:
                found[name] = max(groups[0].ways, found.get(name, 0))
            name = text.rstrip(":= \t")
            groups = [_Group()]
        elif kind == "item":
            size = _size(text)
            group.add(size, 0 if size and text not in known else known.get(text, 1))
            elements += size
        elif kind == "repeat":
            elements += group.repeat(*_times(token))
        elif text == "(":
            groups.append(_Group())
        elif text == "|":
            group.end_alternative()
            group.next_alternative()
        elif text == ")" and len(groups) > 1:
            group.end_alternative()
            groups.pop()
            groups[-1].add(1, group.ways if group.empty else 0)
            elements += 1
        _check(len(groups), elements, max(groups[-1].run, group.run))
    return found


def _check(nesting: int, elements: int, optional: int) -> None:
    if nesting > MAX_NESTING:
        raise _refused(
            f"has groups nested more than {MAX_NESTING} deep",
            "Give the inner ones names, as rules of their own.",
        )
    if elements > MAX_ELEMENTS:
        raise _refused(
            f"has more than {MAX_ELEMENTS} elements when its repetitions are written out",
            "Repeat fewer times, or without an upper bound.",
        )
    if optional > MAX_OPTIONAL:
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
