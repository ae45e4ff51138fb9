"""What there is to run a model on, as far as the choice of its form goes by it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from xinfer.types.model import ModelSpec

_OVERHEAD = 1.2
"""What a model takes beside its weights, as a share of them: cache and buffers."""
_FULL_BITS = 16
_BITS = {"Int8": 8.5, "Int4": 4.5, "Int3": 3.5, "fp8": 8, "fp4": 4.5, "nf4": 4.5}
_GGUF_BITS = {"1": 2, "2": 3, "3": 3.9, "4": 4.85, "5": 5.7, "6": 6.6, "8": 8.5}


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
    """What a model takes, by its size on disk or else by its parameters; 0 when neither is
    known."""
    if model.size_bytes:
        return int(model.size_bytes * _OVERHEAD)
    billions = model.size_in_billions or 0.0
    return int(billions * 1e9 * bits_of(model) / 8 * _OVERHEAD)


def bits_of(model: ModelSpec) -> float:
    """Bits that each parameter takes, by the name of the quantisation."""
    name = model.quantization
    if model.format == "ggufv2":
        digits = [character for character in name if character.isdigit()]
        is_float = name.lower().lstrip("b").startswith("f")
        return _FULL_BITS if is_float or not digits else _GGUF_BITS.get(digits[0], _FULL_BITS)
    for known, bits in _BITS.items():
        if known.lower() in name.lower():
            return bits
    return {"fp8": 8, "fp4": 4.5, "bnb": 4.5}.get(model.format, _FULL_BITS)
