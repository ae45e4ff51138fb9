"""When each word is said: where the decoder looks in the sound while it writes the word.

By dynamic time warping over the attention of those heads that follow the sound, as OpenAI's own
program does it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xinfer.model.audio.whisper.vocabulary import SECONDS_A_TOKEN, Vocabulary
from xinfer.types.product import Word

if TYPE_CHECKING:
    from torch import Tensor

_SMOOTHED = 7
"""Positions over which attention is smoothed, by their median."""


def align(
    model: Any,
    vocabulary: Vocabulary,
    states: Tensor,
    opening: Sequence[int],
    text: Sequence[int],
    *,
    language: str,
    seconds: float,
) -> list[tuple[Word, int]]:
    """The words of a window's text and the number of tokens of each; seconds since its start.

    Args:
        states: (1, positions, width), what the encoder made of the window.
        seconds: how much sound there is in the window.
    """
    if not text:
        return []
    opened = [*opening, vocabulary.no_timestamps]
    attention, chances = _attention(model, vocabulary, states, [*opened, *text, vocabulary.end])
    frames = max(1, min(attention.shape[-1], round(seconds / SECONDS_A_TOKEN)))
    follows = _normalised(attention[..., :frames])[len(opened) - 1 : -1]
    rows, columns = warp(-follows)
    begins = np.flatnonzero(np.diff(rows, prepend=-1))
    times = columns[begins] * SECONDS_A_TOKEN  # where each token's row begins, and the end's
    aligned: list[tuple[Word, int]] = []
    at = 0
    for spelled, count in vocabulary.words(text, language):
        start, end = float(times[at]), float(times[min(at + count, len(times) - 1)])
        told = chances[len(opened) - 1 + at : len(opened) - 1 + at + count]
        probability = float(np.mean(told))
        aligned.append((Word(round(start, 2), round(end, 2), spelled, probability), count))
        at += count
    return aligned


def _attention(
    model: Any, vocabulary: Vocabulary, states: Tensor, tokens: list[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(heads, tokens, positions) of the heads that follow the sound, and the probability of each
    token from the one before it on."""
    import torch

    ids = torch.tensor([tokens], device=states.device)
    with _looked_at(model, vocabulary.alignment_heads) as looked:
        made = model.model.decoder(input_ids=ids, encoder_hidden_states=states, use_cache=False)
    logits = model.proj_out(made.last_hidden_state[0]).float()
    following = logits[:-1].softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
    width = int(model.config.d_model) // int(model.config.decoder_attention_heads)
    heads = []
    for layer, head in vocabulary.alignment_heads:
        part = slice(head * width, (head + 1) * width)
        queries, keys = (one[0, :, part].float() for one in looked[layer])
        heads.append((queries @ keys.T * width**-0.5).softmax(-1))
    return torch.stack(heads).cpu().numpy(), following.cpu().numpy()


@contextmanager
def _looked_at(model: Any, heads: Sequence[tuple[int, int]]) -> Iterator[dict[int, list[Any]]]:
    """Queries and keys of the attention to the sound, by layer, of what is computed meanwhile.

    Attention that is computed fast does not tell its weights; these make them again.
    """
    here = threading.get_ident()  # others may compute with the same model meanwhile
    looked: dict[int, list[Any]] = {}
    hooks = []
    for layer in {layer for layer, _ in heads}:
        attention = model.model.decoder.layers[layer].encoder_attn
        kept = looked[layer] = [None, None]
        for place, part in enumerate((attention.q_proj, attention.k_proj)):

            def keep(_: Any, __: Any, made: Any, place: int = place, kept: Any = kept) -> None:
                if threading.get_ident() == here:
                    kept[place] = made

            hooks.append(part.register_forward_hook(keep))
    try:
        yield looked
    finally:
        for hook in hooks:
            hook.remove()


def _normalised(attention: NDArray[np.float32]) -> NDArray[np.float32]:
    """(tokens, positions): each head made comparable, smoothed, and the mean of all."""
    spread = attention.std(axis=-2, keepdims=True)
    even = (attention - attention.mean(axis=-2, keepdims=True)) / np.maximum(spread, 1e-9)
    reach = _SMOOTHED // 2
    if even.shape[-1] > reach:
        padded = np.pad(even, ((0, 0), (0, 0), (reach, reach)), mode="reflect")
        even = np.median(np.lib.stride_tricks.sliding_window_view(padded, _SMOOTHED, -1), axis=-1)
    return np.asarray(even.mean(axis=0), np.float32)


def warp(costs: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cheapest way from the first to the last row and column that goes back in neither.

    Args:
        costs: (rows, columns).

    Returns:
        The row and the column of each step.
    """
    rows, columns = costs.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0
    came = np.zeros((rows + 1, columns + 1), np.int8)
    # Along the diagonals, whose cells do not depend on each other.
    for diagonal in range(2, rows + columns + 1):
        row = np.arange(max(1, diagonal - columns), min(rows, diagonal - 1) + 1)
        column = diagonal - row
        ways = np.stack(
            [total[row - 1, column - 1], total[row - 1, column], total[row, column - 1]]
        )
        best = ways.argmin(axis=0)
        total[row, column] = costs[row - 1, column - 1] + ways[best, np.arange(len(row))]
        came[row, column] = best
    path: list[tuple[int, int]] = []
    row_at, column_at = rows, columns
    while row_at > 0 and column_at > 0:
        path.append((row_at - 1, column_at - 1))
        way = came[row_at, column_at]
        row_at -= way != 2
        column_at -= way != 1
    path.reverse()
    return np.array([one for one, _ in path]), np.array([one for _, one in path])
