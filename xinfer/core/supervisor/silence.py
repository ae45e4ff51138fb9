"""Which silent workers are lost. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from xinfer.settings import Settings


class LossPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When a worker is lost.

    Where many fall silent at once, the likelier fault is the supervisor's own network: then
    starting their replicas again elsewhere would only make two of each.
    """

    silence: float
    """Seconds without a report."""
    share: float = 0.5
    """Of all workers, how many may be lost at once; always one."""
    patience: float = math.inf
    """Seconds without a report after which a worker is lost however many others are silent."""

    @classmethod
    def of(cls, settings: Settings) -> LossPolicy:
        return cls(
            silence=settings.heartbeat_timeout,
            share=settings.mass_loss_share,
            patience=settings.mass_loss_timeout,
        )


def find_lost(
    seen: Mapping[str, float], now: float, policy: LossPolicy, *, lost: int = 0
) -> set[str]:
    """Ids of the lost workers.

    Those that a fault of the network silences fall silent one after the other, as their reports
    were due: so one that has been quiet for half the time counts as silent, too.

    Args:
        seen: when each worker was last heard.
        lost: how many more were lost within the last `policy.silence` seconds.
    """
    silent = {each for each, at in seen.items() if now - at >= policy.silence}
    quiet = sum(1 for at in seen.values() if now - at >= policy.silence / 2)
    if quiet + lost <= max(1, int(policy.share * (len(seen) + lost))):
        return silent
    return {each for each in silent if now - seen[each] >= policy.patience}


def next_loss(seen: Mapping[str, float], now: float, policy: LossPolicy) -> float | None:
    """When the passing of time alone can lose a worker next; None without workers."""
    times = [
        at + (policy.silence if now - at < policy.silence else policy.patience)
        for at in seen.values()
    ]
    return min(times, default=None)
