"""Chooses for one replica after the other: filters, then candidates, then scores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from xinfer.core.supervisor.observed import ObservedReplica, ObservedWorker, SlotKey
from xinfer.core.supervisor.placement.candidates import Rules
from xinfer.core.supervisor.placement.ledger import Ledger
from xinfer.core.supervisor.placement.need import Need
from xinfer.core.supervisor.placement.ranking import Ranking
from xinfer.core.supervisor.placement.refusal import Refusal
from xinfer.core.supervisor.placement.scorers import PACK, SPREAD
from xinfer.settings import Settings
from xinfer.types.deployment import DeploymentState
from xinfer.types.device import DeviceShare


class PlacementPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Spread or pack; whether models share accelerators."""

    pack: bool = False
    share_devices: bool = True

    @classmethod
    def of(cls, settings: Settings) -> PlacementPolicy:
        return cls(
            pack=settings.launch_strategy == "PACK", share_devices=settings.share_accelerators
        )


class Placed(NamedTuple):
    """Where a replica goes."""

    worker_id: str
    address: str
    """The worker's."""
    devices: tuple[DeviceShare, ...]
    reason: str


class Placement:
    """The cluster while a plan is made: each replica placed is taken from what is left."""

    def __init__(
        self,
        workers: Iterable[ObservedWorker],
        replicas: Iterable[ObservedReplica],
        policy: PlacementPolicy,
    ) -> None:
        self._ledger = Ledger(workers, replicas)
        self._scorers = PACK if policy.pack else SPREAD
        self._rules = Rules(
            pack=policy.pack,
            share_devices=policy.share_devices,
            accelerated=frozenset(self._ledger.accelerated),
        )
        # Replicas of one deployment mostly need the same: their ways are ranked once.
        self._need: Need | None = None
        self._ranking: Ranking | None = None
        self._refusal: Refusal | None = None

    def choose(self, need: Need, slot: SlotKey, replica_id: str) -> Placed | Refusal:
        """Place one replica, the best way there is."""
        ranking = self._ranked(need)
        way = ranking.best()
        if way is None:
            if self._refusal is None:
                self._refusal = Refusal(need, ranking.reasons, self._rules)
            return self._refusal
        view, shares = way.worker.view, way.shares
        labels = ", ".join(share.label for share in shares)
        words = ", ".join(each.words(way, need) for each in self._scorers)
        self._ledger.add(
            ObservedReplica(
                replica_id,
                slot,
                view.worker_id,
                DeploymentState.PENDING,
                devices=shares,
                model_type=need.model_type,
            )
        )
        ranking.taken()
        return Placed(view.worker_id, view.address, shares, f"{labels} of {view.address}: {words}")

    def _ranked(self, need: Need) -> Ranking:
        if self._ranking is None or need != self._need:
            workers = (
                self._ledger.in_order() if self._rules.pack else self._ledger.emptiest(need.uid)
            )
            self._need = need
            self._ranking = Ranking(need, workers, self._scorers, self._rules)
            self._refusal = None
        return self._ranking
