"""The contract of engines that make a vector of a text, or scores of a pair of texts.

They are engines as `xinfer.model.engine` says, and plain functions otherwise: who batches the
requests of many clients, and on which threads, is not their business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import msgspec

from xinfer.errors import InvalidRequest, XinferError
from xinfer.model.engine import Engine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Pair(msgspec.Struct, frozen=True, gc=False):
    """What a reranker scores: how well a document answers a query."""

    query: str
    document: str


Item: TypeAlias = str | Pair


class Encoded(msgspec.Struct, frozen=True, gc=False):
    """A text or a pair in the model's tokens; `len` of it is what usage counts."""

    ids: list[int]
    cut: tuple[int, int]
    """Where in `ids` the text or the document lies: all that can be shortened."""
    pair: bool = False
    """Whether it is of two texts, which the model tells apart."""

    def __len__(self) -> int:
        return len(self.ids)

    def shortened(self, most: int) -> Encoded:
        """This one in `most` tokens: the text, or the document, ends earlier.

        Raises:
            InvalidRequest: what cannot be shortened is longer than that by itself.
        """
        excess = len(self.ids) - most
        if excess <= 0:
            return self
        start, end = self.cut
        kept = end - excess
        if kept < start:
            needed = len(self.ids) - (end - start)
            raise InvalidRequest(
                f"at most {most} tokens are taken, and at least {needed} belong to the query or to "
                "what the model needs around a text.",
                code="context_length_exceeded",
            )
        return Encoded(self.ids[:kept] + self.ids[end:], (start, kept), self.pair)


class EmbedResult(msgspec.Struct, frozen=True, gc=False):
    vector: NDArray[np.float32]
    """(dimensions,)"""
    weights: NDArray[np.void] | None = None
    """(tokens that say anything,) of `SPARSE_ENTRY`, each token once; from models with
    `EncodeAbilities.sparse`."""


class RankResult(msgspec.Struct, frozen=True, gc=False):
    scores: NDArray[np.float32]
    """(scores,): the one of relevance first, the higher the better."""


Result: TypeAlias = EmbedResult | RankResult


@runtime_checkable
class EncodeEngine(Engine, Protocol):
    """Embedding, rerank and classification.

    `Loaded.context_length` is the longest item in tokens, `Loaded.abilities.encode` the rest.
    `tokenize` and `encode` block. `encode` is called from one thread at a time, `tokenize` from
    two, of which one has the long texts, so that no other waits for them. All may run at once.
    """

    def tokenize(self, items: Sequence[Item]) -> list[Encoded]:
        """Items in the model's tokens. One of more than `Loaded.context_length` need not be whole:
        it has more than that, and shortened it is as the whole one would be.

        Raises:
            InvalidRequest: an item is of a kind that this model does not take.
        """
        ...

    def encode(self, batch: Sequence[Encoded]) -> list[Result | XinferError]:
        """A result for each item, in order, whatever else is in the batch.

        An item that cannot be computed has an error in its place: InvalidRequest when it is too
        long, has no tokens or unknown ones, EngineFailed when the result is not finite.

        Raises:
            Unavailable: there is no memory to compute so much at once.
            Cancelled: the engine was closed meanwhile.
            EngineFailed: nothing can be computed any more.
        """
        ...


@runtime_checkable
class SpellingEngine(EncodeEngine, Protocol):
    """An encode engine that tells how its vocabulary spells tokens."""

    def spell(self, ids: Sequence[int]) -> list[str]:
        """What each token is called: `▁the`, `##ing`, `[CLS]`. May be called from any thread.

        Raises:
            InvalidRequest: an id is not in the vocabulary.
        """
        ...
