"""Prompts with pictures, and what the model is given when it computes one of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice, zip_longest
from typing import Any

import torch

from xinfer.errors import InvalidRequest
from xinfer.model.engine import MediaPrompt
from xinfer.model.llm.scheduling.layout import Layout, Span
from xinfer.model.llm.tokenizer.hf import HfTokenizer
from xinfer.model.llm.transformers.model import HfModel
from xinfer.model.llm.transformers.processor import PictureProcessor, Prepared
from xinfer.types.request import Media

_KINDS = ("mm_token_type_ids", "token_type_ids")
"""Names under which models take which tokens are a picture's."""


class Pictures:
    """The pictures of one prompt: what they are made from, and where they are in it.

    Their pixels are not in it: many requests may wait.
    """

    def __init__(
        self,
        media: Sequence[Media],
        ids: Sequence[list[int]],
        positions: Sequence[torch.Tensor],
        spans: Sequence[Span],
    ) -> None:
        self.media = media
        self.ids = ids
        """The tokens that stand for each picture."""
        self._own = positions
        self.layout = Layout([Span(span.start, span.tokens, span.tokens) for span in spans])
        """For the scheduler: the cache counts tokens."""
        self._positions = Layout(spans)

    def position(self, index: int) -> int:
        """The model's position of the token at an index that is not inside of a picture."""
        return self._positions.position(index)

    def positions(self, number: int) -> torch.Tensor:
        """The model's positions of a picture's tokens: (1, tokens), or one such for each of
        several directions, (directions, 1, tokens)."""
        start = self._positions.spans[number].start
        return self._own[number] + self.position(start)


class Vision:
    """What a loaded model sees with.

    Args:
        processor: the model's own.
        tokenizer: the model's own.
    """

    def __init__(self, model: HfModel, processor: PictureProcessor, tokenizer: HfTokenizer) -> None:
        self.sign = processor.sign
        self.token = image_token(model.config)
        """The token that the embeddings of a picture are put in place of."""
        self.both_ways = False
        """Whether the tokens of a picture look at each other, also ahead."""
        self._processor = processor
        self._tokenizer = tokenizer
        self._device, self._dtype = model.device, model.model.dtype
        self._kinds = [name for name in _KINDS if name in model.inputs]
        base = model.model.base_model
        self._rope_index = getattr(base, "get_rope_index", None)

    def prompt(self, texts: Sequence[str], media: Sequence[Media]) -> MediaPrompt:
        """As of `MediaEngine`."""
        prepared = [self._processor.prepare(medium) for medium in media]
        pieces = zip_longest(texts, [one.text for one in prepared], fillvalue="")
        ids = self._tokenizer.encode("".join(chain.from_iterable(pieces)), special=True)
        places = [index for index, token in enumerate(ids) if token == self.token]
        counts = [
            self._tokenizer.encode(one.text, special=True).count(self.token) for one in prepared
        ]
        if len(places) != sum(counts):
            raise InvalidRequest(
                f"The text of the messages has {self.sign!r} in it, which this model knows "
                "pictures by. Leave it out, or write it otherwise.",
                param="messages",
            )
        spans, own, positions = [], [], []
        found = iter(places)
        for one, count in zip(prepared, counts, strict=True):
            own_places = list(islice(found, count))
            start, last = own_places[0], own_places[-1]
            own.append(ids[start : last + 1])
            positions.append(self._own_positions(one, own[-1]))
            spans.append(Span(start, len(own[-1]), int(positions[-1].max()) + 1))
        for one, span in zip(prepared, spans, strict=True):
            ids[span.start : span.end] = [_stand_in(one)] * span.tokens
        if ids[-1] < 0:
            raise InvalidRequest(
                "The prompt ends with a picture; expected text behind it. The model's chat "
                "template does not begin an answer.",
                param="messages",
            )
        return MediaPrompt(ids, Pictures(media, own, positions, spans))

    def inputs(
        self, pictures: Pictures, number: int, ids: list[int] | None = None
    ) -> dict[str, torch.Tensor]:
        """What the model's forward is given beside the picture's tokens, one row of them.

        Args:
            ids: all tokens of the row, where the picture's are not the only ones.
        """
        prepared = self._processor.prepare(pictures.media[number])
        made = {name: self._there(tensor) for name, tensor in prepared.inputs.items()}
        kinds = self._kinds_of(ids or pictures.ids[number]).to(self._device)
        return made | dict.fromkeys(self._kinds, kinds)

    def blocks(self, pictures: Pictures, number: int) -> list[int]:
        """For each of a picture's tokens, which of those around it it looks at both ways: those of
        the same number; none for -1."""
        found, block, before = [], 0, False
        for token in pictures.ids[number]:
            inside = token == self.token
            block += inside and not before
            found.append(block if inside and self.both_ways else -1)
            before = inside
        return found

    def _own_positions(self, prepared: Prepared, ids: list[int]) -> torch.Tensor:
        """From 0 on."""
        if self._rope_index is None:
            return torch.arange(len(ids))[None]
        positions: torch.Tensor = self._rope_index(
            input_ids=torch.tensor([ids]),
            mm_token_type_ids=self._kinds_of(ids),
            **{name: value for name, value in prepared.inputs.items() if "grid" in name},
        )[0]
        return positions

    def _kinds_of(self, ids: list[int]) -> torch.Tensor:
        return torch.tensor([[int(token == self.token) for token in ids]])

    def _there(self, tensor: torch.Tensor) -> torch.Tensor:
        dtype = self._dtype if tensor.is_floating_point() else None
        return tensor.to(self._device, dtype)


def _stand_in(prepared: Prepared) -> int:
    """A number for a picture's tokens, the same for the same bytes only."""
    return -1 - int.from_bytes(prepared.digest, "big")


def image_token(config: Any) -> int:
    """The token that a picture's embeddings are put in place of.

    Raises:
        AttributeError: the configuration names none.
    """
    token = getattr(config, "image_token_id", None)
    return int(config.image_token_index if token is None else token)
