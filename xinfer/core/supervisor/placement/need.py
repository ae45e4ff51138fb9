"""What one replica needs of the node it runs on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from xinfer.types.deployment import AUTO, Deployment, Place
from xinfer.types.model import Memory

SHARING_TYPES = frozenset({"embedding", "rerank"})
"""Types of model that always share an accelerator with others."""


class Need(NamedTuple):
    """Memory, and the constraints of the launch."""

    uid: str
    engine: str
    model_type: str
    memory: Memory
    place: Place
    labels: Mapping[str, str] = {}
    """That its worker has to have."""

    @property
    def on_processors(self) -> int:
        """Bytes of main memory that it takes where it runs on processors alone."""
        memory = self.memory
        return memory.weights + memory.kv_cache + memory.overhead

    def on_accelerators(self, count: int) -> int:
        """Bytes that it takes on each of so many accelerators."""
        memory = self.memory
        return -(-(memory.weights + memory.kv_cache) // count) + memory.accelerator_overhead

    @property
    def wants_processors(self) -> bool:
        """Whether accelerators are out of the question."""
        place = self.place
        return not place.gpu_idx and (
            place.n_gpu is None or (place.n_gpu == AUTO and self.memory.processors_only)
        )


def need_of(deployment: Deployment, ordinal: int) -> Need:
    """What the replica with this ordinal needs."""
    places = deployment.places
    return Need(
        deployment.uid,
        deployment.engine,
        deployment.model.type,
        deployment.memory,
        places[min(ordinal, len(places) - 1)],
        deployment.spec.worker_labels,
    )
