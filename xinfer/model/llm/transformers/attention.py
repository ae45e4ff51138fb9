"""Attention over slots: the tokens of many sequences in one call of the model.

Registered with Transformers' `AttentionInterface` (documented under that name), so that every
model whose attention goes through it can be computed this way. Everything else in a model looks at
each token by itself, and does not notice that its neighbours belong to other sequences.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.cache_utils import Cache

NAME = "xinfer_slots"

_UNEVEN = 512
"""Tokens by which sequences computed together may differ in length: the shorter ones look at as
many keys as the longest."""


class Piece(NamedTuple):
    """Neighbouring tokens of one sequence."""

    slot: int
    start: int
    """The first one's index in its slot."""
    positions: torch.Tensor
    """Of each as the model counts, (1, tokens), or (directions, 1, tokens)."""
    blocks: Sequence[int] = ()
    """Numbers of tokens that look at each other also ahead; -1 for one that does not. Empty when
    none does."""

    @property
    def tokens(self) -> int:
        return int(self.positions.shape[-1])


class Part:
    """Sequences that are computed by one call: one of them, or one new token of each of several.

    Args:
        start, end: which of the step's tokens these are.
        first, last: slots, `last` excluded.
        lengths: of each slot, how many tokens it has after this step.
        blocks: as of a `Piece`.
    """

    def __init__(
        self,
        start: int,
        end: int,
        first: int,
        last: int,
        lengths: list[int],
        blocks: Sequence[int] = (),
    ) -> None:
        self.start, self.end, self.first, self.last = start, end, first, last
        self.length = max(lengths)
        self._lengths = lengths
        self._blocks = blocks
        self._masks: dict[int, torch.Tensor | None] = {}

    def mask(self, window: int, device: torch.device) -> torch.Tensor | None:
        """Which keys each token looks at, (slots, 1, tokens of a slot, keys); None for all."""
        if window not in self._masks:
            self._masks[window] = self._mask(window, device)
        return self._masks[window]

    def _mask(self, window: int, device: torch.device) -> torch.Tensor | None:
        lengths = torch.tensor(self._lengths, device=device)
        tokens = (self.end - self.start) // len(self._lengths)
        if tokens == 1 and not window and min(self._lengths) == self.length:
            return None
        own = lengths[:, None] - tokens + torch.arange(tokens, device=device)
        keys = torch.arange(self.length, device=device)
        seen = keys <= own[:, :, None]
        if window:
            seen &= keys > own[:, :, None] - window
        if any(block >= 0 for block in self._blocks):
            blocks = torch.tensor(self._blocks, device=device)
            seen[..., self.length - tokens :] |= (blocks[:, None] == blocks) & (blocks >= 0)
        return seen[:, None]


class Step:
    """The tokens of one call of the model, sequence after sequence.

    Args:
        pieces: of each sequence, those with one token first and in the order of their slots.
    """

    def __init__(self, pieces: Sequence[Piece], capacity: int) -> None:
        self.where = torch.cat(
            [torch.arange(p.start, p.start + p.tokens) + p.slot * capacity for p in pieces]
        )
        self.positions = torch.cat([piece.positions for piece in pieces], dim=-1)
        self.parts = _parts(pieces)

    def to(self, device: torch.device) -> Step:
        self.where = self.where.to(device)
        self.positions = self.positions.to(device)
        return self


def _parts(pieces: Sequence[Piece]) -> list[Part]:
    parts = []
    begin = token = 0
    while begin < len(pieces):
        first = pieces[begin]
        slot, count = first.slot, first.tokens
        lengths = [first.start + count]
        end = begin + 1
        while end < len(pieces) and count == pieces[end].tokens == 1:
            length = pieces[end].start + 1
            apart = max(*lengths, length) - min(*lengths, length)
            if pieces[end].slot != slot + len(lengths) or apart > _UNEVEN:
                break
            lengths.append(length)
            end += 1
        tokens = count * len(lengths)
        last = slot + len(lengths)
        parts.append(Part(token, token + tokens, slot, last, lengths, first.blocks))
        token += tokens
        begin = end
    return parts


class SlotCache(Cache):  # type: ignore[misc]
    """Keys and values of all slots: of each layer, (slots, capacity, heads, width).

    Its room grows with the longest sequence, up to `longest` tokens a slot.
    """

    FIRST = 256

    def __init__(self, slots: int, longest: int) -> None:
        super().__init__(layers=[])
        self.slots = slots
        self.longest = longest
        self.capacity = min(self.FIRST, longest)
        self.step: Step
        self._stores: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def reserve(self, length: int) -> None:
        """Have room for this many tokens in each slot.

        Raises:
            RuntimeError: there is no memory for it; nothing has changed.
        """
        if length <= self.capacity:
            return
        capacity = self.capacity
        while capacity < length:
            capacity *= 2
        capacity = min(capacity, self.longest)
        grown = {
            layer: (_grown(keys, capacity), _grown(values, capacity))
            for layer, (keys, values) in self._stores.items()
        }
        self._stores, self.capacity = grown, capacity

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def copy_slot(self, source: int, target: int) -> None:
        for keys, values in self._stores.values():
            keys[target] = keys[source]
            values[target] = values[source]

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep the step's keys and values, each (1, heads, tokens, width); gives all there are."""
        if layer_idx not in self._stores:
            self._stores[layer_idx] = self._new(key_states), self._new(value_states)
        keys, values = self._stores[layer_idx]
        where = self.step.where.to(keys.device)
        keys.flatten(0, 1).index_copy_(0, where, key_states[0].transpose(0, 1))
        values.flatten(0, 1).index_copy_(0, where, value_states[0].transpose(0, 1))
        _current.step = self.step
        return keys, values

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0  # positions are given with each call

    def _new(self, states: torch.Tensor) -> torch.Tensor:
        _, heads, _, width = states.shape
        # Zeros: what a mask hides is multiplied by nothing, but not if it is no number.
        return states.new_zeros((self.slots, self.capacity, heads, width))


class _Current(threading.local):
    step: Step
    """Of the layer that this thread computes."""


_current = _Current()


def _grown(store: torch.Tensor, capacity: int) -> torch.Tensor:
    slots, old, heads, width = store.shape
    grown = store.new_zeros((slots, capacity, heads, width))
    grown[:, :old] = store
    return grown


def _attend_slots(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """`query` is (1, heads, tokens, width), `key` and `value` are a layer's of all slots."""
    tokens = query.shape[2]
    out = query.new_empty((1, tokens, query.shape[1], value.shape[3]))
    for part in _current.step.parts:
        slots = part.last - part.first
        asked = query[0, :, part.start : part.end].unflatten(1, (slots, -1)).transpose(0, 1)
        keys = key[part.first : part.last, : part.length].transpose(1, 2)
        values = value[part.first : part.last, : part.length].transpose(1, 2)
        mask = part.mask(sliding_window or 0, query.device)
        if softcap is None and s_aux is None:
            found = scaled_dot_product_attention(
                asked,
                keys,
                values,
                attn_mask=mask,
                scale=scaling,
                enable_gqa=asked.shape[1] != keys.shape[1],
            )
        else:
            found = _attend_plainly(asked, keys, values, mask, scaling, softcap, s_aux)
        out[0, part.start : part.end] = found.transpose(1, 2).flatten(0, 1)
    return out, None


def _attend_plainly(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float | None,
    sinks: torch.Tensor | None,
) -> torch.Tensor:
    """With a bound on the scores, or a part of the attention that goes nowhere."""
    groups = query.shape[1] // key.shape[1]
    key, value = (each.repeat_interleave(groups, dim=1) for each in (key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = (query @ key.transpose(2, 3)).mul_(scale)  # in place: they are large
    if softcap is not None:
        scores.div_(softcap).tanh_().mul_(softcap)
    if mask is not None:
        scores.masked_fill_(~mask, float("-inf"))
    if sinks is not None:
        aside = sinks.reshape(1, -1, 1, 1).expand(scores.shape[0], -1, scores.shape[2], 1)
        scores = torch.cat([scores, aside.to(scores.dtype)], dim=-1)
    shares = scores.float().softmax(dim=-1).to(value.dtype)
    return shares[..., : key.shape[2]] @ value


AttentionInterface.register(NAME, _attend_slots)
