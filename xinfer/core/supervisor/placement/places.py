"""From the incumbent's fields of a launch to a place for each replica."""

from __future__ import annotations

from typing import NoReturn

from xinfer.errors import InvalidRequest
from xinfer.types.deployment import AUTO, LaunchSpec, Place


def places_of(spec: LaunchSpec) -> tuple[Place, ...]:
    """One place for all replicas, or one for each.

    Raises:
        InvalidRequest: the fields contradict each other, or one cannot be; `param` names it.
    """
    if spec.replica_config:
        return _configured(spec)
    _check_count(spec.n_gpu, "n_gpu")
    _check_indices(spec.gpu_idx, "gpu_idx")
    worker = spec.worker_ip or ""
    if not spec.gpu_idx:
        return (Place(worker=worker, n_gpu=spec.n_gpu),)
    each, rest = divmod(len(spec.gpu_idx), spec.replica)
    if rest:
        _refuse(
            f"gpu_idx names {len(spec.gpu_idx)} devices for {spec.replica} replicas. Allocated gpu "
            "must be a multiple of replica.",
            "gpu_idx",
        )
    if spec.n_gpu not in (AUTO, each):
        _refuse(f"n_gpu is {spec.n_gpu}, and gpu_idx gives each replica {each}.", "n_gpu")
    parts = [spec.gpu_idx[n * each : (n + 1) * each] for n in range(spec.replica)]
    return tuple(Place(worker=worker, gpu_idx=part) for part in parts)


def _configured(spec: LaunchSpec) -> tuple[Place, ...]:
    for name, given in (
        ("worker_ip", bool(spec.worker_ip)),
        ("gpu_idx", bool(spec.gpu_idx)),
        ("n_gpu", spec.n_gpu != AUTO),
    ):
        if given:
            _refuse(f"{name} goes into the entries of replica_config when that is given.", name)
    if len(spec.replica_config) != spec.replica:
        _refuse(
            f"replica_config has {len(spec.replica_config)} entries for {spec.replica} replicas; "
            "give one for each.",
            "replica_config",
        )
    for place in spec.replica_config:
        check_place(place)
    return spec.replica_config


def check_place(place: Place) -> None:
    """Let the place of one replica pass that can be.

    Raises:
        InvalidRequest: it cannot; `param` is `replica_config`.
    """
    _check_count(place.n_gpu, "replica_config")
    _check_indices(place.gpu_idx, "replica_config")
    if place.gpu_idx and place.n_gpu not in (AUTO, len(place.gpu_idx)):
        _refuse(
            f"replica_config asks for n_gpu {place.n_gpu} and names {len(place.gpu_idx)} "
            "devices in gpu_idx; leave one of them out.",
            "replica_config",
        )


def _check_count(n_gpu: int | str | None, param: str) -> None:
    if n_gpu is None or n_gpu == AUTO or (type(n_gpu) is int and n_gpu >= 1):
        return
    _refuse(f'n_gpu is {n_gpu!r}; expected "auto", null, or a whole number from 1 on.', param)


def _check_indices(indices: tuple[int, ...], param: str) -> None:
    if len(set(indices)) < len(indices) or any(index < 0 for index in indices):
        _refuse(
            f"gpu_idx is {list(indices)}; expected different whole numbers from 0 on.",
            param,
        )


def _refuse(message: str, param: str) -> NoReturn:
    raise InvalidRequest(message, param=param)
