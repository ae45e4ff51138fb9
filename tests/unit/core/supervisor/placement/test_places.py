"""Where each replica may run, from the incumbent's fields."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.unit.core.supervisor.support import deployment
from xinfer.core.supervisor.placement import need_of, places_of
from xinfer.errors import InvalidRequest
from xinfer.types.deployment import LaunchSpec, Place


def places(**fields: Any) -> tuple[Place, ...]:
    return places_of(LaunchSpec(model_name="m", **fields))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (Place(),)),
        ({"n_gpu": None, "replica": 3}, (Place(n_gpu=None),)),
        ({"n_gpu": 2, "worker_ip": "h"}, (Place(n_gpu=2, worker="h"),)),
        ({"gpu_idx": (3,)}, (Place(gpu_idx=(3,)),)),
        (
            {"gpu_idx": (0, 1, 2, 3), "replica": 2, "n_gpu": 2, "worker_ip": "h"},
            (Place(gpu_idx=(0, 1), worker="h"), Place(gpu_idx=(2, 3), worker="h")),
        ),
        (
            {"replica": 2, "replica_config": (Place(worker="a"), Place(gpu_idx=(1,), n_gpu=1))},
            (Place(worker="a"), Place(gpu_idx=(1,), n_gpu=1)),
        ),
    ],
)
def test_fields_become_places(fields: dict[str, Any], expected: tuple[Place, ...]) -> None:
    assert places(**fields) == expected


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n_gpu": 0}, "n_gpu"),
        ({"n_gpu": -1}, "n_gpu"),
        ({"n_gpu": True}, "n_gpu"),
        ({"n_gpu": "two"}, "n_gpu"),
        ({"gpu_idx": (0, 1, 2), "replica": 2}, "gpu_idx"),
        ({"gpu_idx": (0, 0)}, "gpu_idx"),
        ({"gpu_idx": (-1,)}, "gpu_idx"),
        ({"gpu_idx": (0, 1), "n_gpu": 1}, "n_gpu"),
        ({"gpu_idx": (0,), "n_gpu": None}, "n_gpu"),
        ({"replica_config": (Place(),), "worker_ip": "h"}, "worker_ip"),
        ({"replica_config": (Place(),), "gpu_idx": (1,)}, "gpu_idx"),
        ({"replica_config": (Place(),), "n_gpu": 1}, "n_gpu"),
        ({"replica_config": (Place(), Place())}, "replica_config"),
        ({"replica_config": (Place(n_gpu=0),)}, "replica_config"),
        ({"replica_config": (Place(gpu_idx=(1, 1)),)}, "replica_config"),
        ({"replica_config": (Place(gpu_idx=(1,), n_gpu=2),)}, "replica_config"),
    ],
)
def test_fields_that_contradict_each_other_are_refused_by_name(
    fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        places(**fields)
    assert caught.value.param == param


def test_the_last_place_holds_for_the_ordinals_beyond() -> None:
    wanted = msgspec.structs.replace(
        deployment(replicas=3), places=(Place(worker="a"), Place(worker="b"))
    )
    assert [need_of(wanted, n).place.worker for n in range(3)] == ["a", "b", "b"]
