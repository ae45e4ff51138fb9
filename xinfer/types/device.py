"""Devices of a node and what of them is held. Memory is in bytes."""

from __future__ import annotations

import msgspec

CPU = "cpu"
"""The kind of a node's processors, whose memory is its main memory."""


class Holder(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Memory that one process holds on a device."""

    pid: int
    memory: int
    replica_id: str = ""
    """Of the replica it belongs to; empty for everybody else's."""


class Device(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One accelerator, or all processors of the node together."""

    kind: str
    """cuda, rocm, metal or cpu."""
    index: int
    """Among those of its kind, in the order of the PCI bus."""
    name: str
    memory_total: int = 0
    memory_used: int = 0
    """By anybody: other servers, other users, the desktop."""
    memory_free: int = 0
    cores: int = 0
    """Processors that the worker may use; 0 for an accelerator."""
    utilisation: float | None = None
    """0..1; None where the driver does not tell."""
    holders: tuple[Holder, ...] = ()
    """As far as they are told; the rest of `memory_used` has no name."""
    unified: bool = False
    """An accelerator that computes in main memory: what it holds is not free there either."""
    problem: str = ""
    """Why nothing can be placed on it, as a sentence."""

    @property
    def label(self) -> str:
        return f"{self.kind}:{self.index}"


class DeviceShare(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a replica was given of one device: `memory` is what it is expected to take."""

    kind: str
    index: int
    memory: int

    @property
    def label(self) -> str:
        return f"{self.kind}:{self.index}"
