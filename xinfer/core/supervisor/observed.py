"""What the plan may know of the cluster, as plain values.

There are many of them, and none is part of a cycle: the garbage collector need not look at them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from xinfer.types.deployment import DeploymentState
from xinfer.types.device import Device, DeviceShare
from xinfer.types.failure import Failure


class SlotKey(NamedTuple):
    """The place of one replica in a deployment; at most one replica lives in it."""

    uid: str
    generation: int
    ordinal: int


class FailedStart(msgspec.Struct, frozen=True, gc=False):
    """A replica that ended badly, or that could not be started; `at` is monotonic."""

    at: float
    failure: Failure


class SlotHistory(msgspec.Struct, frozen=True, gc=False):
    """What became of the replicas of one slot."""

    starts: int = 0
    failures: tuple[FailedStart, ...] = ()
    """Oldest first."""


class ObservedWorker(msgspec.Struct, frozen=True, gc=False):
    """A worker that takes replicas now, with what it has."""

    worker_id: str
    address: str
    devices: tuple[Device, ...] = ()
    engines: Mapping[str, tuple[str, ...]] = {}
    """Engines installed on it, each with the kinds of accelerator that it can compute on."""
    labels: Mapping[str, str] = {}
    """What its administrator calls it."""


class ObservedReplica(msgspec.Struct, frozen=True, gc=False):
    """A replica that lives, or whose start is under way (PENDING)."""

    replica_id: str
    slot: SlotKey
    worker_id: str
    state: DeploymentState
    devices: tuple[DeviceShare, ...] = ()
    model_type: str = "LLM"
    max_queue: int = 0
    """Its waiting places, by the last word that it was sent."""
    request_limit: int | None = None
    """Its share of the limit on requests, likewise."""
    starts: int = 1
    """Starts of its slot, this one included."""


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """The cluster at one time."""

    workers: tuple[ObservedWorker, ...] = ()
    """Those that take replicas now."""
    leaving: frozenset[str] = frozenset()
    """Ids of those that go: what they run is started elsewhere, and ends when that serves."""
    replicas: tuple[ObservedReplica, ...] = ()
    histories: Mapping[SlotKey, SlotHistory] = {}
    stops: Mapping[str, float] = {}
    """Replica ids that were told to stop, and when to tell them again: infinity once they know."""
