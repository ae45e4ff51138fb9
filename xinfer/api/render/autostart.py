"""Declarations in the incumbent's words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from xinfer.api.render.deployments import STATUS
from xinfer.api.schemas.autostart import MASK
from xinfer.types.declaration import Declared
from xinfer.types.deployment import DeploymentState, DeploymentStatus, LaunchSpec, Snapshot

_SECRET = re.compile(r"(^|_)(token|secret|password|passwd|credentials?|api_?key)$", re.IGNORECASE)


def entries(declared: Sequence[Declared], snapshot: Snapshot | None) -> list[dict[str, Any]]:
    """All declarations, each with what has become of it."""
    deployments = snapshot.deployments if snapshot else {}
    workers = snapshot.workers if snapshot else 0
    return [
        {
            "enabled": one.declaration.enabled,
            "priority": one.declaration.priority,
            "max_retries": one.declaration.max_retries,
            "retry_interval_seconds": one.declaration.retry_interval,
            "launch": launch_body(one.declaration.spec),
            "state": _state(one, deployments.get(one.declaration.uid), workers),
            "source": one.declaration.spec.declared,
        }
        for one in declared
    ]


def summary(declared: Sequence[Declared]) -> dict[str, Any]:
    """What is declared, in short."""
    return {
        "models": [
            {"enabled": one.declaration.enabled, "model_uid": one.declaration.uid}
            for one in declared
        ]
    }


def launch_body(spec: LaunchSpec) -> dict[str, Any]:
    """The fields of a launch that say more than their defaults, without its secrets."""
    fields: dict[str, Any] = msgspec.to_builtins(spec)
    fields.pop("declared", None)
    options = fields.pop("options", {})
    adapters = {name: (each.path, each.scale) for name, each in spec.adapters.items()}
    fields.pop("adapters", None)
    places = fields.pop("replica_config", [])
    if adapters:
        fields["peft_model_config"] = {
            "lora_list": [
                {"lora_name": name, "local_path": path, "scale": scale}
                for name, (path, scale) in adapters.items()
            ]
        }
    if places:
        fields["replica_config"] = [_place(each) for each in places]
    return {name: _masked(name, value) for name, value in {**options, **fields}.items()}


def _place(place: Mapping[str, Any]) -> dict[str, Any]:
    names = {"worker": "worker_ip", "n_gpu": "n_gpu", "gpu_idx": "gpu_idx"}
    device = {names[name]: value for name, value in place.items() if name in names}
    given = {"replica_uid": place["replica_uid"]} if "replica_uid" in place else {}
    return {**given, "devices": [device]}


def _masked(name: str, value: Any) -> Any:
    """Variables of the model's environment may be secrets, whatever they are called."""
    if name == "envs" and isinstance(value, dict):
        return dict.fromkeys(value, MASK)
    if _SECRET.search(name) and isinstance(value, str) and value:
        return MASK
    if isinstance(value, dict):
        return {key: _masked(key, each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(name, each) for each in value]
    return value


def _state(declared: Declared, status: DeploymentStatus | None, workers: int) -> dict[str, Any]:
    word, message = _word(declared, status, workers)
    return {
        "status": word,
        "attempts": declared.attempts,
        "message": message,
        "last_error": _last_error(declared, status),
        "last_attempt_ts": declared.last_attempt,
        "last_started_ts": declared.last_started,
        "instance_status": STATUS[status.state] if status else None,
    }


def _word(declared: Declared, status: DeploymentStatus | None, workers: int) -> tuple[str, str]:
    """The incumbent's word for the state, and a sentence."""
    if status is None or status.state is DeploymentState.DRAINING:
        if declared.due:
            if declared.error:
                return "waiting_model", "Its launch was refused and is tried again."
            return "launching", "It is about to be launched."
        if not declared.declaration.enabled:
            return "waiting_model", "It is not to be started with the server."
        if declared.error:
            return "error", "Its launch was refused for good."
        return "waiting_model", "It does not run; it is launched when the server is started next."
    if status.state in (DeploymentState.READY, DeploymentState.UNLOADED):
        return "active", "It serves."
    if status.state is DeploymentState.ERROR:
        return "error", "It was launched and has failed."
    if not workers:
        return "waiting_worker", "It is launched, and no worker is there to run it."
    waits = [
        one.progress.message for one in status.replicas if not one.pid and one.progress.message
    ]
    return "launching", waits[0] if waits else "It is being started."


def _last_error(declared: Declared, status: DeploymentStatus | None) -> str | None:
    if declared.error:
        return declared.error
    return status.failure.message if status and status.failure else None
