"""What encode engines compute together, and what they do not compute at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xinfer.errors import InvalidRequest
from xinfer.model.encode_engine import Encoded


def groups(lengths: Sequence[int], *, tokens: int, items: int) -> Iterator[list[int]]:
    """What to compute together: indices in order, of at most so many tokens and items.

    An item of more tokens than that is a group by itself.
    """
    group: list[int] = []
    total = 0
    for index, length in enumerate(lengths):
        if group and (total + length > tokens or len(group) == items):
            yield group
            group, total = [], 0
        group.append(index)
        total += length
    if group:
        yield group


def refusal(item: Encoded, longest: int, vocabulary_size: int) -> InvalidRequest | None:
    """Why this item cannot be computed, where it would fail everything that it is computed with."""
    if not item.ids:
        return InvalidRequest("A text without any token cannot be computed.")
    if len(item) > longest:
        return InvalidRequest(
            f"{len(item)} tokens are more than the {longest} that one text may have.",
            code="context_length_exceeded",
        )
    if min(item.ids) < 0 or max(item.ids) >= vocabulary_size:
        return InvalidRequest(f"A text has to have token ids from 0 to {vocabulary_size - 1}.")
    return None
