"""Texts and pairs as the model was trained to see them, token for token as llama-server does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import takewhile
from typing import NamedTuple, Protocol

from xinfer.errors import InvalidRequest
from xinfer.model.encode_engine import Encoded, Pair

_PLACES = re.compile(r"(\{query\}|\{document\})")


class LlamaTokenizer(Protocol):
    """llama.cpp's own, however it is reached."""

    def tokenize(self, text: str, special: bool, *, prefix: bool = False) -> list[int]:
        """Ids of a text.

        Args:
            special: recognise control tokens in the text.
            prefix: put around it what llama.cpp puts around a plain prompt.
        """
        ...


class SpecialTokens(NamedTuple):
    """Ids that a vocabulary puts before a text, between two, and behind."""

    before: list[int]
    between: list[int]
    after: list[int]


class TextPrompt:
    """A text with the special tokens around it. Control tokens that it spells are recognised, as
    the tokenizers do that models are trained with."""

    def __init__(self, model: LlamaTokenizer) -> None:
        self._model = model
        empty = self._tokenize("")
        text = self._tokenize("a")
        self._before = _common(empty, text)
        self._after = len(empty) - self._before

    def encode(self, text: str) -> Encoded:
        ids = self._tokenize(text)
        return Encoded(ids, (self._before, len(ids) - self._after))

    def _tokenize(self, text: str) -> list[int]:
        return self._model.tokenize(text, True, prefix=True)


class PairPrompt:
    """A query and a document, with special tokens around and between."""

    def __init__(self, model: LlamaTokenizer, special: SpecialTokens) -> None:
        self._model = model
        self._special = special

    def encode(self, pairs: Sequence[Pair]) -> list[Encoded]:
        before, between, after = self._special

        @cache
        def begin(query: str) -> list[int]:
            return [*before, *self._model.tokenize(query, False), *between]

        encoded = []
        for pair in pairs:
            head = begin(pair.query)
            document = self._model.tokenize(pair.document, False)
            cut = (len(head), len(head) + len(document))
            encoded.append(Encoded([*head, *document, *after], cut))
        return encoded


class TemplatePrompt:
    """A query and a document in the words of a file's template.

    Args:
        path: the model's file, for the message.

    Raises:
        InvalidRequest: the template has not one place for each of them.
    """

    def __init__(self, model: LlamaTokenizer, template: str, path: str) -> None:
        self._model = model
        self._parts = _PLACES.split(template)
        for place in ("{query}", "{document}"):
            if self._parts.count(place) != 1:
                raise InvalidRequest(
                    f"{path} cannot be used: its template for reranking has {place} "
                    f"{self._parts.count(place)} times; expected once.",
                    param="model_path",
                )
        self._document = self._parts.index("{document}")

    def encode(self, pairs: Sequence[Pair]) -> list[Encoded]:
        spells = cache(self._spells_control_tokens)
        tokenize = cache(lambda text: self._model.tokenize(text, True))
        encoded = []
        for pair in pairs:
            if spells(pair.query) or self._spells_control_tokens(pair.document):
                encoded.append(self._apart(pair))
                continue
            texts = self._filled(pair)
            ids = self._model.tokenize("".join(texts), True)
            # Where the document's tokens begin and end, but for those merged with its neighbours.
            start = _common(ids, tokenize("".join(texts[: self._document])))
            tail = tokenize("".join(texts[self._document + 1 :]))
            end = len(ids) - _common(reversed(ids[start:]), reversed(tail))
            encoded.append(Encoded(ids, (start, end)))
        return encoded

    def _filled(self, pair: Pair) -> list[str]:
        values = {"{query}": pair.query, "{document}": pair.document}
        return [values.get(part, part) for part in self._parts]

    def _spells_control_tokens(self, text: str) -> bool:
        return self._model.tokenize(text, True) != self._model.tokenize(text, False)

    def _apart(self, pair: Pair) -> Encoded:
        """So that what a client sends stays text, and cannot end its part of the prompt."""
        ids: list[int] = []
        cut = (0, 0)
        for index, (part, text) in enumerate(zip(self._parts, self._filled(pair), strict=True)):
            start = len(ids)
            ids += self._model.tokenize(text, not _PLACES.fullmatch(part))
            if index == self._document:
                cut = (start, len(ids))
        return Encoded(ids, cut)


def _common(one: Iterable[int], other: Iterable[int]) -> int:
    """Length of the longest common prefix."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], pairs))
