"""What is asked of the driver of one maker's accelerators."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from xinfer.types.device import Device


class Reading(NamedTuple):
    """What a driver says at one time."""

    devices: tuple[Device, ...] = ()
    problem: str = ""
    """Why there are none, or not all, as a sentence; empty when this node simply has none."""


class Driver(Protocol):
    """Asked again and again, from one thread; it never raises."""

    maker: str
    """As people say it: NVIDIA, AMD, Apple."""

    def present(self) -> bool:
        """Whether this node has such a driver at all; asked once, and cheap."""
        ...

    def read(self) -> Reading: ...
