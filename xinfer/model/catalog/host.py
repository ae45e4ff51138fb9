"""What there is to run a model on, as far as the choice of its form goes by it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from xinfer.model.memory import weight_bytes
from xinfer.types.model import ModelSpec

_OVERHEAD = 1.2
"""What a model takes beside its weights, as a share of them: cache and buffers."""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """The most that one machine has. Bytes."""

    accelerators: Mapping[str, tuple[int, ...]] = {}
    """What each accelerator can give now, by its kind: cuda, rocm or metal."""
    memory: int | None = None
    """What main memory can give; None when it is not known, and anything fits."""
    engines: Mapping[str, frozenset[str]] = {}
    """Engines that are installed on workers, each with the kinds of accelerator that it computes
    on there; empty when no worker has told."""

    def room(self, kinds: frozenset[str]) -> int | None:
        """What the accelerators of one of these kinds can give together; None without any."""
        rooms = [sum(free) for kind, free in self.accelerators.items() if kind in kinds and free]
        return max(rooms, default=None)

    def fits(self, model: ModelSpec, kinds: frozenset[str]) -> bool:
        """Whether the model has room where engines that compute on these kinds would put it."""
        room = self.room(kinds)
        if room is None:
            room = self.memory
        return room is None or expected_bytes(model) <= room


def expected_bytes(model: ModelSpec) -> int:
    """What a model takes at the least, by its weights; 0 when nothing is known of them."""
    return int(weight_bytes(model) * _OVERHEAD)
