"""Deployments with other numbers, by value."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.core.supervisor.support import deployment
from xinfer.core.supervisor.scaling import (
    MAX_REPLICAS,
    rescaled,
    with_replicas,
    without_replica,
)
from xinfer.errors import InvalidRequest, NotFound
from xinfer.types.deployment import Deployment, Place

A, B, C = Place(worker="a"), Place(worker="b"), Place(worker="c", replica_uid="third")


def removed(*ordinals: int, of: int = 4) -> Deployment:
    made: Deployment | None = deployment(replicas=of)
    for ordinal in ordinals:
        assert made is not None
        made = without_replica(made, ordinal)
    assert made is not None
    return made


def test_the_others_keep_their_numbers_when_one_is_removed() -> None:
    left = removed(1)
    assert (left.replicas, left.ordinals) == (3, (0, 2, 3))
    assert removed(1, 3).ordinals == (0, 2)
    assert (removed(3, 1, 2).ordinals, removed(3, 1, 2).removed) == ((0,), ())


def test_without_the_last_there_is_no_deployment() -> None:
    assert without_replica(removed(0, 1, 3), 2) is None


@pytest.mark.parametrize("ordinal", [-1, 1, 4])
def test_what_is_not_there_is_not_removed_and_the_answer_says_what_is(ordinal: int) -> None:
    with pytest.raises(NotFound, match=r"has no replica -?\d; it has 0, 2, 3") as caught:
        without_replica(removed(1), ordinal)
    assert (caught.value.code, caught.value.param) == ("replica_not_found", "replica_id")


def test_new_replicas_take_the_lowest_free_numbers() -> None:
    after, new = with_replicas(removed(1), 2, ())
    assert (after.ordinals, new) == ((0, 1, 2, 3, 4), (1, 4))
    assert after.removed == ()
    assert rescaled(removed(0, 2), 3, None).ordinals == (0, 1, 3)


def test_fewer_replicas_are_those_with_the_lowest_numbers() -> None:
    assert rescaled(removed(1), 2, None).ordinals == (0, 2)
    assert rescaled(removed(0), 1, 7).max_queue == 7


def test_a_new_replica_has_its_own_place_and_the_others_keep_theirs() -> None:
    shared = msgspec.structs.replace(deployment(replicas=2), places=(A,))
    after, new = with_replicas(shared, 1, (C,))
    assert (new, after.places) == ((2,), (A, A, C))
    apart = msgspec.structs.replace(deployment(replicas=2), places=(A, B))
    assert with_replicas(apart, 2, (C, A))[0].places == (A, B, C, A)
    gap = msgspec.structs.replace(removed(0, of=2), places=(A, B))
    assert with_replicas(gap, 1, (C,))[0].places == (C, B)


def test_without_a_place_of_its_own_a_new_replica_goes_where_the_launch_said() -> None:
    shared = msgspec.structs.replace(deployment(replicas=2), places=(A,))
    assert with_replicas(shared, 1, ())[0].places == (A,)
    apart = msgspec.structs.replace(deployment(replicas=2), places=(A, B))
    assert with_replicas(apart, 1, ())[0].places == (A, B, Place())


@pytest.mark.parametrize(
    ("count", "places", "param"),
    [
        (0, (), "replica"),
        (True, (), "replica"),
        (MAX_REPLICAS - 3, (), "replica"),
        (2, (A,), "replica_config"),
        (1, (Place(n_gpu=0),), "replica_config"),
        (1, (Place(gpu_idx=(0, 0)),), "replica_config"),
    ],
)
def test_replicas_that_cannot_be_are_refused(
    count: int, places: tuple[Place, ...], param: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        with_replicas(deployment(replicas=4), count, places)
    assert caught.value.param == param


@pytest.mark.parametrize("gone", [(), (0,), (1, 2), (0, 1, 2)])
def test_a_deployment_has_the_replicas_whose_numbers_it_lists(gone: tuple[int, ...]) -> None:
    left = removed(*gone)
    assert tuple(number for number in range(-1, 9) if left.has(number)) == left.ordinals
