"""What a client process is asked to do, and what it reports."""

from __future__ import annotations

import msgspec


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where to send what, over how many connections, and whose processor time to take."""

    host: str
    port: int
    path: str
    body: bytes
    connections: int
    watch: dict[str, int]
    """Processes on this machine, pid by role."""


class Requests(msgspec.Struct, frozen=True, kw_only=True, tag="requests"):
    """Each connection sends the request again and again; `count` are measured after `warmup`."""

    target: Target
    warmup: int
    count: int


class Streams(msgspec.Struct, frozen=True, kw_only=True, tag="streams"):
    """Each connection reads one answer of `tokens` events as it comes.

    Measured from where all of them have begun to where the first is about to end.
    """

    target: Target
    tokens: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What passed in the measured time."""

    seconds: float
    items: int
    """Requests answered, or events read."""
    processor: dict[str, float]
    """Seconds of each watched process."""
    latencies: list[float] = []
    """Seconds from each request to its whole answer."""
