"""Numbers of a deployment that may change while it runs. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec

from xinfer.core.supervisor.placement import check_place
from xinfer.errors import InvalidRequest, NotFound
from xinfer.types.deployment import Deployment, Place

MAX_REPLICAS = 256


def check_replicas(replicas: object) -> None:
    """Structs that were not decoded are not checked: True and 2.0 would pass for numbers.

    Raises:
        InvalidRequest: it is no number of replicas.
    """
    if type(replicas) is not int or not 1 <= replicas <= MAX_REPLICAS:
        raise InvalidRequest(
            f"replica is {replicas!r}; expected a whole number from 1 to {MAX_REPLICAS}.",
            param="replica",
        )


def check_max_queue(max_queue: object) -> None:
    """Raises:
    InvalidRequest: it is neither None nor a number of waiting places.
    """
    if max_queue is not None and (type(max_queue) is not int or max_queue < 0):
        raise InvalidRequest(
            f"max_queue is {max_queue!r}; expected a whole number, at least 0.",
            param="max_queue",
        )


def check_request_limits(request_limits: object) -> None:
    """Raises:
    InvalidRequest: it is neither None nor a number of requests, nor 0 for no limit.
    """
    if request_limits is not None and (type(request_limits) is not int or request_limits < 0):
        raise InvalidRequest(
            f"request_limits is {request_limits!r}; expected a whole number of requests, or 0 for "
            "no limit.",
            param="request_limits",
        )


def rescaled(
    deployment: Deployment,
    replicas: int | None,
    max_queue: int | None,
    request_limits: int | None = None,
) -> Deployment:
    """The deployment with these numbers; None leaves one as it is, and no requests as a limit are
    none at all.

    The replicas with the highest numbers go first, and the lowest free numbers come first. Where
    each replica was given a place of its own, further ones may run anywhere.

    Raises:
        InvalidRequest: a number that cannot be.
    """
    if replicas is not None:
        check_replicas(replicas)
    check_max_queue(max_queue)
    check_request_limits(request_limits)
    there = deployment.ordinals
    wanted = deployment.replicas if replicas is None else replicas
    ordinals = (*there, *_free(deployment, wanted - len(there)))[:wanted]
    after = _numbered(deployment, ordinals, _places_up_to(deployment, ordinals))
    if max_queue is not None:
        after = msgspec.structs.replace(after, max_queue=max_queue)
    if request_limits is not None:
        after = msgspec.structs.replace(after, request_limits=request_limits or None)
    return after


def with_replicas(
    deployment: Deployment, count: int, places: Sequence[Place]
) -> tuple[Deployment, tuple[int, ...]]:
    """The deployment with so many more replicas, and their numbers: the lowest that are free.

    Args:
        places: one for each of them, or none: then they may run where the launch said.

    Raises:
        InvalidRequest: too many, or places that cannot be.
    """
    if places and len(places) != count:
        raise InvalidRequest(
            f"replica_config has {len(places)} entries for {count} replicas; give one for each.",
            param="replica_config",
        )
    if type(count) is not int or not 1 <= count <= MAX_REPLICAS - deployment.replicas:
        raise InvalidRequest(
            f"replica is {count!r}; expected a whole number from 1 on, such that there are at "
            f"most {MAX_REPLICAS} together with the {deployment.replicas} that there are.",
            param="replica",
        )
    new = _free(deployment, count)
    ordinals = (*deployment.ordinals, *new)
    made = _places_up_to(deployment, ordinals)
    if places:
        for place in places:
            check_place(place)
        # Until now all may have shared one place.
        own = [*made, *([made[-1]] * (max(ordinals) + 1 - len(made)))]
        for ordinal, place in zip(new, places, strict=True):
            own[ordinal] = place
        made = tuple(own)
    return _numbered(deployment, ordinals, made), new


def without_replica(deployment: Deployment, ordinal: int) -> Deployment | None:
    """The deployment without the replica of this number; the others keep theirs. None where it
    was the last.

    Raises:
        NotFound: there is no such replica.
    """
    there = deployment.ordinals
    if ordinal not in there:
        raise NotFound(
            f"Model {deployment.uid!r} has no replica {ordinal}; it has "
            f"{', '.join(map(str, there))}.",
            code="replica_not_found",
            param="replica_id",
        )
    left = tuple(each for each in there if each != ordinal)
    return _numbered(deployment, left, deployment.places) if left else None


def _free(deployment: Deployment, count: int) -> tuple[int, ...]:
    """The lowest numbers that no replica has."""
    taken = set(deployment.ordinals)
    free = (number for number in itertools.count() if number not in taken)
    return tuple(itertools.islice(free, max(0, count)))


def _places_up_to(deployment: Deployment, ordinals: Sequence[int]) -> tuple[Place, ...]:
    places = deployment.places
    if len(places) > 1:
        places += (Place(),) * (max(ordinals) + 1 - len(places))
    return places


def _numbered(
    deployment: Deployment, ordinals: Sequence[int], places: tuple[Place, ...]
) -> Deployment:
    return msgspec.structs.replace(
        deployment,
        replicas=len(ordinals),
        removed=tuple(sorted(set(range(max(ordinals))) - set(ordinals))),
        places=places,
    )
