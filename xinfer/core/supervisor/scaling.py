"""Numbers of a deployment that may change while it runs. Pure."""

from __future__ import annotations

import msgspec

from xinfer.errors import InvalidRequest
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


def rescaled(deployment: Deployment, replicas: int | None, max_queue: int | None) -> Deployment:
    """The deployment with these numbers; None leaves one as it is.

    Where each replica was given a place of its own, further ones may run anywhere.

    Raises:
        InvalidRequest: a number that cannot be.
    """
    if replicas is not None:
        check_replicas(replicas)
    check_max_queue(max_queue)
    wanted = deployment.replicas if replicas is None else replicas
    places = deployment.places
    if len(places) > 1:
        places += (Place(),) * (wanted - len(places))
    return msgspec.structs.replace(
        deployment,
        replicas=wanted,
        max_queue=deployment.max_queue if max_queue is None else max_queue,
        places=places,
    )
