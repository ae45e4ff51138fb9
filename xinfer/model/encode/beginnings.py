"""Of texts that are far longer than a model takes, as much as settles what it is given.

A text is cut where a word ends, and only where no token of the vocabulary goes on from a word into
the space behind it: so what stands before has the same tokens whatever follows. It is tried with a
beginning that is likely enough, then with longer ones, so that nothing is assumed of how many
characters a token has, or of what a tokenizer leaves out. The last words stay, since what a prompt
has behind a text may share a token with them. A document that spells control tokens in what is left
out alone is taken for one that spells none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

from xinfer.model.encode_engine import Encoded, Item, Pair

Tokenize = Callable[[Sequence[Item]], list[Encoded]]

_CHARACTERS_A_TOKEN = 8
"""Of a beginning that is tried first; prose has 4 to 5."""
_MORE = 4
"""Times as much is tried next."""
_END = 1000
"""Characters in which the last words are looked for."""

_LETTER, _MARK = r"[^\W_]", r"[!-/:-@\[-`{-~、。，；：？！”」』）]"
_LETTER_SPACE = re.compile(rf"(?:{_LETTER}|\ufffd)(?!\n)[\s▁]")
_LETTER_NEWLINE = re.compile(rf"(?:{_LETTER}|\ufffd)\n")
_MARK_SPACE = re.compile(r"[^\s▁][\s▁]")


def word_ends(tokens: Iterable[str]) -> re.Pattern[str] | None:
    """What finds the places to cut at; None where there is no sure one.

    Args:
        tokens: the vocabulary, as texts with spaces or ▁ in them; U+FFFD for a part of a character.
    """
    newlines = marks = True
    for token in tokens:
        if _LETTER_SPACE.search(token):
            return None
        newlines = newlines and not _LETTER_NEWLINE.search(token)
        marks = marks and not _MARK_SPACE.search(token)
    newline = "\n" if newlines else ""
    before = f"{_LETTER}|{_MARK}" if marks else _LETTER
    return re.compile(f"(?<={before})[ {newline}]")


class Beginnings:
    """Tokenizes texts and pairs: the same as whole, once each is shortened to `most` tokens or
    fewer, or refused for being longer; thread-safe.

    Args:
        ends: what finds the places to cut at, asked for with the first long text; see `word_ends`.
        most: tokens that the model takes.
    """

    def __init__(self, ends: Callable[[], re.Pattern[str] | None], most: int) -> None:
        self._find_ends = ends
        self._most = most
        self._first = _CHARACTERS_A_TOKEN * most + 4 * _END

    @cached_property
    def _ends(self) -> re.Pattern[str] | None:
        return self._find_ends()

    def tokenize(self, items: Sequence[Item], tokenize: Tokenize) -> list[Encoded]:
        """What `tokenize` gives for each, or for as much of it as has more tokens than `most`.

        Raises:
            XinferError: as `tokenize`.
        """
        settled: dict[int, Encoded] = {}
        for index, item in enumerate(items):
            if _longest(item) > 2 * self._first and self._ends is not None:
                found = self._settled(item, self._ends, tokenize)
                if found is not None:
                    settled[index] = found
        if not settled:
            return tokenize(items)
        others = [item for index, item in enumerate(items) if index not in settled]
        made = iter(tokenize(others) if others else ())
        return [settled[index] if index in settled else next(made) for index in range(len(items))]

    def _settled(self, item: Item, ends: re.Pattern[str], tokenize: Tokenize) -> Encoded | None:
        """None where all of it is needed."""
        characters = self._first
        while 2 * characters < _longest(item):
            cut = _Cut(item, characters, ends)
            if cut.possible:
                (encoded,) = tokenize([cut.beginning])
                start, end = encoded.cut
                if cut.query_is_cut and len(encoded) - (end - start) > self._most:
                    return encoded  # too long by the query alone
                if not cut.query_is_cut and end - start > self._most:
                    return tokenize([cut.with_end])[0]
            characters *= _MORE
        return None


class _Cut:
    """An item without what stands behind about so many characters of its texts."""

    def __init__(self, item: Item, characters: int, ends: re.Pattern[str]) -> None:
        text = item.document if isinstance(item, Pair) else item
        query = item.query if isinstance(item, Pair) else ""
        begin, end = _divided(text, characters, ends)
        asked, _ = _divided(query, characters, ends)
        self.query_is_cut = asked != query
        self.possible = self.query_is_cut or begin != text
        self.beginning: Item = Pair(asked, begin) if isinstance(item, Pair) else begin
        self.with_end: Item = Pair(asked, begin + end) if isinstance(item, Pair) else begin + end


def _divided(text: str, characters: int, ends: re.Pattern[str]) -> tuple[str, str]:
    """Its beginning and its last words, where it is long and has places to cut at."""
    if len(text) > 2 * characters:
        first = ends.search(text, characters, 2 * characters)
        last = ends.search(text, len(text) - _END)
        if first is not None and last is not None and first.start() < last.start():
            return text[: first.start()], text[last.start() :]
    return text, ""


def _longest(item: Item) -> int:
    if isinstance(item, Pair):
        return max(len(item.query), len(item.document))
    return len(item)
