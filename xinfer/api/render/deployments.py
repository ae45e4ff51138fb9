"""Deployments in the incumbent's words, with what is ours beside them."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from xinfer.core.gateway import RoutingTable
from xinfer.types.control import LaunchPreview
from xinfer.types.deployment import DeploymentState, DeploymentStatus, ReplicaStatus, Snapshot
from xinfer.types.device import CPU
from xinfer.types.link import Inspected

STATUS = {
    DeploymentState.PENDING: "CREATING",
    DeploymentState.DOWNLOADING: "CREATING",
    DeploymentState.LOADING: "LOADING",
    DeploymentState.READY: "READY",
    DeploymentState.RESTARTING: "UPDATING",
    DeploymentState.DRAINING: "TERMINATING",
    DeploymentState.UNLOADED: "READY",
    DeploymentState.ERROR: "ERROR",
    DeploymentState.TERMINATED: "TERMINATED",
}
"""The incumbent's word for each state."""

ENCODERS = {"embedding": ("embed",), "rerank": ("rerank",)}
"""What models of these types can do, in the incumbent's words."""

SERVING = (DeploymentState.READY, DeploymentState.RESTARTING, DeploymentState.UNLOADED)
"""States in which a deployment is a model that clients may count on."""


def describe(status: DeploymentStatus, name: str | None = None) -> dict[str, Any]:
    """One entry of /v1/models: OpenAI's fields and the incumbent's description.

    Args:
        name: the alias that it is told under, instead of its uid.
    """
    deployment = status.deployment
    model = deployment.model
    loaded = status.loaded
    backend = loaded.backend if loaded else ""
    accelerators = {
        share.index for one in status.replicas for share in one.devices if share.kind != CPU
    }
    context = loaded.context_length if loaded else model.context_length
    replicas = status.replicas
    entry = {
        "id": name or deployment.uid,
        "object": "model",
        "created": deployment.created,
        "owned_by": "xinference",
        "model_uid": deployment.uid,
        "aliases": deployment.spec.aliases,
        "model_type": model.type,
        "address": replicas[0].worker if replicas else "",
        "accelerators": [str(index) for index in sorted(accelerators)],
        "model_name": model.name,
        "model_lang": model.languages,
        "model_ability": _abilities(status),
        "model_description": model.description,
        "model_format": model.format,
        "model_size_in_billions": model.size_in_billions,
        "model_family": model.family or model.name,
        "quantization": model.quantization,
        "multimodal_projector": None,
        "model_hub": model.hub,
        "revision": model.revision,
        "context_length": context,
        "strict_system_first": False,
        "model_engine": deployment.engine,
        "replica": deployment.replicas,
        "state": status.state.value,
        "loaded": status.state is not DeploymentState.UNLOADED,
        "backend": backend,
        "engine_details": loaded.details if loaded else {},
    }
    return {**entry, **_encoder_facts(status, context), **_image_facts(status)}


def _encoder_facts(status: DeploymentStatus, context: int) -> dict[str, Any]:
    """What is said of models that make vectors or scores, and of no other."""
    model = status.deployment.model
    if model.type not in ENCODERS:
        return {}
    facts = {
        "language": model.languages,
        "model_revision": model.revision,
        "max_tokens": context,
    }
    made = status.loaded.abilities.encode if status.loaded else None
    if model.type == "rerank":
        return {**facts, "type": "normal", "labels": made.labels if made else ()}
    return {
        **facts,
        "dimensions": made.dimensions if made else None,
        "pooling": made.pooling if made else None,
        "matryoshka": made.matryoshka if made else False,
        "tasks": sorted(made.prompts) if made else [],
    }


def _image_facts(status: DeploymentStatus) -> dict[str, Any]:
    """What is said of models that draw, and of no other."""
    model = status.deployment.model
    if model.type != "image":
        return {}
    controlnet = status.deployment.options.get("controlnet") or None
    return {"model_revision": model.revision, "controlnet": controlnet}


def _abilities(status: DeploymentStatus) -> tuple[str, ...]:
    """The model's, and what was loaded beside it; of a model that draws, what its parts serve for
    as they were loaded."""
    model = status.deployment.model
    if model.type == "image" and status.loaded and status.loaded.abilities.tasks:
        return tuple(sorted(status.loaded.abilities.tasks, reverse=True))
    abilities = model.abilities or ENCODERS.get(model.type, ())
    loaded = status.loaded
    if loaded is not None and loaded.abilities.media and "vision" not in abilities:
        abilities = (*abilities, "vision")
    if loaded is not None and loaded.abilities.audio and "audio" not in abilities:
        abilities = (*abilities, "audio")
    return abilities


class ModelList:
    """The body of /v1/models, rendered once for each snapshot."""

    def __init__(self, table: RoutingTable) -> None:
        self._table = table
        self._snapshot: Snapshot | None = None
        self._body = b""

    def body(self) -> bytes:
        """JSON of all deployments that serve, and behind them of their aliases."""
        snapshot = self._table.snapshot
        if snapshot is not self._snapshot or not self._body:
            serving = [one for one in self._table.deployments() if one.state in SERVING]
            data = [describe(one) for one in serving]
            data += [
                describe(one, alias)
                for one in serving
                for alias in one.deployment.spec.aliases
                if self._table.resolve(alias) == one.deployment.uid
            ]
            self._body = msgspec.json.encode({"object": "list", "data": data})
            self._snapshot = snapshot
        return self._body


def replica(
    status: DeploymentStatus, one: ReplicaStatus, load: Inspected | None = None
) -> dict[str, Any]:
    """One entry of /v1/models/{uid}/replicas; with `load`, what it does just now."""
    indices = [share.index for share in one.devices if share.kind != CPU]
    places = status.deployment.places
    own_name = places[one.ordinal].replica_uid if one.ordinal < len(places) else None
    entry = {
        "replica_id": one.ordinal,
        "replica_model_uid": one.replica_id,
        "worker_address": one.worker,
        "model_address": one.address,
        "accelerators": [str(index) for index in indices],
        "status": STATUS[one.state],
        "model_state": "",
        "created_ts": one.created,
        "error_message": one.failure.message if one.failure else None,
        "replica_uid": own_name or f"{status.deployment.uid}-{one.ordinal}",
        "gpu_idx": indices or None,
        "devices": {share.label: share.memory for share in one.devices},
        "state": one.state.value,
        "info": one.progress.message,
        "pid": one.pid,
        "restarts": one.restarts,
    }
    if load is not None:
        entry["running"] = load.load.running
        entry["waiting"] = load.load.waiting
        entry["capacity"] = load.load.capacity
        entry["stats"] = msgspec.to_builtins(load.stats)
    return entry


def instance(status: DeploymentStatus) -> dict[str, Any]:
    """One entry of /v1/models/instances, failed and loading ones included."""
    deployment = status.deployment
    workers = {one.worker for one in status.replicas if one.worker}
    return {
        "model_name": deployment.model.name,
        "model_uid": deployment.uid,
        "aliases": deployment.spec.aliases,
        "model_type": deployment.model.type,
        "model_engine": deployment.engine,
        "engine_reason": deployment.engine_reason,
        "model_format": deployment.model.format,
        "model_size_in_billions": deployment.model.size_in_billions,
        "quantization": deployment.model.quantization,
        "model_version": None,
        "model_ability": _abilities(status),
        "replica": deployment.replicas,
        "max_queue": deployment.max_queue,
        "request_limits": deployment.request_limits,
        "priority": deployment.spec.priority,
        "status": STATUS[status.state],
        "state": status.state.value,
        "error_message": status.failure.message if status.failure else None,
        "instance_created_ts": deployment.created,
        "n_worker": len(workers) or 1,
        "replica_statuses": [replica(status, one) for one in status.replicas],
    }


def preview(found: LaunchPreview, cached: bool) -> dict[str, Any]:
    """The body of /v1/models/preview; `cached` tells that nothing would be downloaded."""
    model, memory = found.model, found.memory
    return {
        "model_name": model.name,
        "model_type": model.type,
        "model_engine": found.engine,
        "engine_reason": found.reason,
        "model_format": model.format,
        "model_size_in_billions": model.size_in_billions,
        "quantization": model.quantization,
        "context_length": model.context_length,
        "size_bytes": model.size_bytes,
        "cached": cached,
        "memory": {
            "weights": memory.weights,
            "kv_cache": memory.kv_cache,
            "overhead": memory.overhead,
            "accelerator_overhead": memory.accelerator_overhead,
        },
        "lack": found.lack or None,
    }


def progress(status: DeploymentStatus) -> dict[str, Any]:
    """The body of /v1/models/{uid}/progress; the least advanced replica sets the stage."""
    replicas: list[dict[str, Any]] = [
        {
            "replica_id": one.ordinal,
            "replica_model_uid": one.replica_id,
            "progress": _fraction(one),
            "stage": one.progress.stage,
            "info": one.progress.message,
            "updated_at": round(time.time(), 1),
            "download_files": _download_files(one),
        }
        for one in status.replicas
    ]
    if not replicas:
        return {"progress": 0.0, "stage": "pending", "download_files": [], "replicas": []}
    least = min(replicas, key=lambda one: one["progress"])
    total = sum(one["progress"] for one in replicas) / len(replicas)
    return {
        "progress": round(total, 4),
        "stage": least["stage"],
        "download_files": [file for one in replicas for file in one["download_files"]],
        "replicas": replicas,
    }


def _download_files(one: ReplicaStatus) -> list[dict[str, Any]]:
    return [
        {
            "name": file.name,
            "downloaded_bytes": file.downloaded_bytes,
            "total_bytes": file.total_bytes,
            "progress": round(file.downloaded_bytes / file.total_bytes, 4)
            if file.total_bytes
            else 1.0,
            "speed_bytes_per_second": file.speed_bytes_per_second,
            "elapsed_seconds": file.elapsed_seconds,
            "eta_seconds": file.eta_seconds,
            "status": file.status,
            "replica_id": one.ordinal,
            "replica_model_uid": one.replica_id,
        }
        for file in one.progress.files
    ]


def _fraction(one: ReplicaStatus) -> float:
    return 1.0 if one.state is DeploymentState.READY else round(one.progress.fraction, 4)
