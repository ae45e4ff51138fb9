"""What is computed at once: texts of similar length, filled up to that of the longest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from xinfer.model.encode_engine import Encoded

if TYPE_CHECKING:
    from torch import Tensor


def padded_groups(lengths: Sequence[int], *, tokens: int, items: int) -> Iterator[list[int]]:
    """Indices of what is computed together, the longest first.

    Args:
        lengths: in tokens.
        tokens: most of a group, each counted as long as its longest.
        items: most of a group.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    group: list[int] = []
    for index in order:
        if group and (len(group) == items or lengths[group[0]] * (len(group) + 1) > tokens):
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def features(batch: Sequence[Encoded], *, padding: int, second_type: int) -> dict[str, Tensor]:
    """Ids, mask and, where there is a second type, types, as (items, tokens).

    Args:
        padding: the id that texts are filled up with, behind their end.
        second_type: in pairs, type of a document's tokens, and of those that follow it; 0 for none.
    """
    import torch

    length = max(map(len, batch))
    shape = (len(batch), length)
    ids = torch.full(shape, padding, dtype=torch.long)
    mask = torch.zeros(shape, dtype=torch.long)
    for row, item in enumerate(batch):
        ids[row, : len(item)] = torch.tensor(item.ids, dtype=torch.long)
        mask[row, : len(item)] = 1
    made = {"input_ids": ids, "attention_mask": mask}
    if second_type:
        types = torch.zeros(shape, dtype=torch.long)
        for row, item in enumerate(batch):
            if item.pair:
                types[row, item.cut[0] : len(item)] = second_type
        made["token_type_ids"] = types
    return made
