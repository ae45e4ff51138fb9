"""What a client process is asked to do, and what it reports."""

from __future__ import annotations

import msgspec


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where to send, over how many connections at once, and whose processor time to take."""

    host: str = "127.0.0.1"
    port: int
    path: str
    connections: int
    watch: dict[str, int]
    """Processes on this machine, pid by role."""


class Requests(msgspec.Struct, frozen=True, kw_only=True, tag="requests"):
    """Each connection sends the body again and again; `count` are measured after `warmup`."""

    target: Target
    body: bytes
    warmup: int
    count: int


class Streams(msgspec.Struct, frozen=True, kw_only=True, tag="streams"):
    """Each connection sends the body and reads one answer of `tokens` events as it comes.

    Measured from where all of them have begun to where the first is about to end.
    """

    target: Target
    body: bytes
    tokens: int


class Generations(msgspec.Struct, frozen=True, kw_only=True, tag="generations"):
    """Each body is sent once, on a connection of its own, and its answer of `tokens` tokens read
    as it comes; as many at once as the target has connections.

    Measured from the first request to the end of the last answer.
    """

    target: Target
    bodies: list[bytes]
    tokens: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What passed in the measured time."""

    seconds: float
    items: int
    """Requests answered, events read, or tokens generated."""
    processor: dict[str, float]
    """Seconds of each watched process."""
    latencies: list[float] = []
    """Seconds from each request to its whole answer."""
    firsts: list[float] = []
    """Seconds from each request to its first token."""
    gaps: list[float] = []
    """Seconds between tokens, the mean of each answer."""
