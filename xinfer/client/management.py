"""The management calls: each function describes one call, both clients make methods of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from xinfer.client.wire import JSON, Call

_CACHE = "/v1/cache/models"
_AUTOSTART = "/v1/autostart/models"


def list_models() -> Call[dict[str, JSON]]:
    """The models that can be called, by uid."""
    return Call(
        "list models",
        "GET",
        "/v1/models",
        result=lambda answer: {model["id"]: model for model in answer["data"]},
    )


def launch_model(
    model_name: str,
    model_type: str = "LLM",
    model_engine: str | None = None,
    model_uid: str | None = None,
    model_size_in_billions: int | str | float | None = None,
    model_format: str | None = None,
    quantization: str | None = None,
    replica: int = 1,
    n_worker: int = 1,
    n_gpu: int | str | None = "auto",
    peft_model_config: Mapping[str, Any] | None = None,
    request_limits: int | None = None,
    worker_ip: str | None = None,
    gpu_idx: int | Sequence[int] | None = None,
    replica_config: Sequence[Mapping[str, Any]] | None = None,
    model_path: str | None = None,
    enable_thinking: bool | None = None,
    enable_virtual_env: bool | None = None,
    virtual_env_packages: Sequence[str] | None = None,
    envs: Mapping[str, str] | None = None,
    virtual_env_find_links: Sequence[str] | None = None,
    **kwargs: Any,
) -> Call[str]:
    """Launch a model and return its uid.

    Args:
        model_name: a name of the catalogue, a hub repository, or a path on the server.
        n_gpu: GPUs for each replica; None runs on the processor.
        kwargs: `wait_ready=False` returns at once instead of when every replica is ready;
            everything else goes to the engine as its options.
    """
    wait_ready = kwargs.pop("wait_ready", True)
    optional = {
        "model_engine": model_engine,
        "model_uid": model_uid,
        "model_size_in_billions": _size(model_size_in_billions),
        "model_format": model_format,
        "quantization": quantization,
        "peft_model_config": peft_model_config,
        "request_limits": request_limits,
        "worker_ip": worker_ip,
        "gpu_idx": gpu_idx,
        "replica_config": replica_config,
        "model_path": model_path,
        "enable_thinking": enable_thinking,
        "enable_virtual_env": enable_virtual_env,
        "virtual_env_packages": virtual_env_packages,
        "envs": envs,
        "virtual_env_find_links": virtual_env_find_links,
    }
    return Call(
        "launch model",
        "POST",
        "/v1/models",
        params=None if wait_ready else {"wait_ready": "false"},
        body={
            "model_name": model_name,
            "model_type": model_type,
            "replica": replica,
            "n_worker": n_worker,
            "n_gpu": n_gpu,
            **{name: value for name, value in optional.items() if value is not None},
            **kwargs,
        },
        result=lambda answer: str(answer["model_uid"]),
    )


def terminate_model(model_uid: str) -> Call[None]:
    """Stop a model; running requests are drained first."""
    return Call("terminate model", "DELETE", _model(model_uid), result=_nothing)


def describe_model(model_uid: str) -> Call[JSON]:
    """What a model is: type, abilities, format, context length, ..."""
    return Call("get the model description", "GET", _model(model_uid), result=dict)


def scale_model(
    model_uid: str,
    replica: int | None = None,
    max_queue: int | None = None,
    request_limits: int | None = None,
) -> Call[JSON]:
    """Change how many replicas a model has, how many requests may wait for it, and how many it
    takes at once (0 for no limit); None leaves a number as it is. Returns its instance, before
    replicas have started or left."""
    wanted = {"replica": replica, "max_queue": max_queue, "request_limits": request_limits}
    return Call(
        "scale model",
        "PATCH",
        _model(model_uid),
        body={name: value for name, value in wanted.items() if value is not None},
        result=dict,
    )


def add_model_replica(
    model_uid: str,
    replica_config: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    replica: int = 1,
    model_engine: str | None = None,
    n_gpu: int | str | None = None,
) -> Call[JSON]:
    """Add replicas to a model, and return when they are ready: `replica_id`,
    `replica_model_uid`, `worker_address`; of several, a list in `replicas`.

    Args:
        replica_config: where it runs, with `devices` and perhaps a `replica_uid`; one for each
            of several.
        n_gpu: GPUs of each, "auto", or 0 for the processor; None as in the launch.
    """
    given = {"replica_config": replica_config, "model_engine": model_engine, "n_gpu": n_gpu}
    return Call(
        "add model replica",
        "POST",
        _model(model_uid, "replicas"),
        body={
            **({"replica": replica} if replica != 1 else {}),
            **{name: value for name, value in given.items() if value is not None},
        },
        result=dict,
    )


def terminate_model_replica(model_uid: str, replica_id: int) -> Call[int]:
    """End one replica; how many are left, and with none the model is terminated."""
    return Call(
        "terminate model replica",
        "DELETE",
        _model(model_uid, "replicas", str(replica_id)),
        result=lambda answer: int(answer["remaining_replicas"]),
    )


def get_instance_info(
    model_name: str | None = None, model_uid: str | None = None
) -> Call[list[JSON]]:
    """The deployments, also those that load or have failed, with the state of each replica."""
    named = {"model_name": model_name, "model_uid": model_uid}
    return Call(
        "get instance info",
        "GET",
        "/v1/models/instances",
        params={name: value for name, value in named.items() if value is not None},
        result=list,
    )


def get_launch_model_progress(model_uid: str) -> Call[JSON]:
    """How far a launch is: `progress` from 0 to 1, and its `stage`."""
    return Call("get model launch progress", "GET", _model(model_uid, "progress"), result=dict)


def cancel_launch_model(model_uid: str) -> Call[None]:
    """Give up a launch that is not ready yet."""
    return Call("cancel launch model", "POST", _model(model_uid, "cancel"), result=_nothing)


def get_model_replicas(model_uid: str) -> Call[list[JSON]]:
    """A model's replicas: `replica_id`, `status`, `pid`, `restarts`, `error_message`, ..."""
    return Call("get model replicas", "GET", _model(model_uid, "replicas"), result=list)


def get_model_logs(model_uid: str) -> Call[list[JSON]]:
    """The last lines of each replica's output, also after it died: `replica_id`, `lines`."""
    return Call(
        "get model logs",
        "GET",
        _model(model_uid, "logs"),
        result=lambda answer: list(answer["replicas"]),
    )


def abort_request(model_uid: str, request_id: str, block_duration: int = 30) -> Call[JSON]:
    """End a running request; `block_duration` is in seconds. `msg` says DONE or NOT_FOUND."""
    return Call(
        "abort request",
        "POST",
        _model(model_uid, "requests", request_id, "abort"),
        body={"block_duration": block_duration},
        result=dict,
    )


def register_model(
    model_type: str, model: str, persist: bool, worker_ip: str | None = None
) -> Call[None]:
    """Describe a model of one's own, so that it can be launched by its name.

    Args:
        model: JSON text, with `model_name`, `model_specs` and what else there is to say.
        persist: whether it is known after a restart of the server.
    """
    body = {"model": model, "persist": persist, "worker_ip": worker_ip}
    return Call("register model", "POST", _registrations(model_type), body=body, result=_nothing)


def unregister_model(model_type: str, model_name: str) -> Call[None]:
    """Forget a model of one's own; where it runs, it goes on."""
    path = _registrations(model_type, model_name)
    return Call("unregister model", "DELETE", path, result=_nothing)


def list_model_registrations(model_type: str, detailed: bool = False) -> Call[list[JSON]]:
    """The models of a type that can be launched by name."""
    return Call(
        "list model registrations",
        "GET",
        _registrations(model_type),
        params={"detailed": "true"} if detailed else None,
        result=list,
    )


def query_engine_by_model_name(
    model_name: str, model_type: str | None = "LLM", enable_virtual_env: bool | None = None
) -> Call[dict[str, list[JSON] | str]]:
    """By engine: the forms of the model that it can run, or why it cannot run any.

    Args:
        model_name: as for a launch.
        model_type: None for whichever the model is of.
        enable_virtual_env: changes nothing.
    """
    kind = f"{quote(model_type, safe='')}/" if model_type else ""
    return Call(
        "query engine",
        "GET",
        f"/v1/engines/{kind}{quote(model_name, safe='')}",
        params=None
        if enable_virtual_env is None
        else {"enable_virtual_env": str(enable_virtual_env).lower()},
        result=dict,
    )


def get_model_registration(model_type: str, model_name: str) -> Call[JSON]:
    """All that is registered of one model."""
    return Call(
        "get model registration",
        "GET",
        _registrations(model_type, model_name),
        result=dict,
    )


def get_autostart_config() -> Call[JSON]:
    """The models that are launched when the server starts: `models`, each with its `state`."""
    return Call("get autostart config", "GET", _AUTOSTART, result=dict)


def get_autostart_model_summary() -> Call[JSON]:
    """The same in short: `models`, each with `model_uid` and `enabled`."""
    return Call("get autostart model summary", "GET", f"{_AUTOSTART}/summary", result=dict)


def upsert_autostart_model(entry: Mapping[str, Any]) -> Call[JSON]:
    """Launch a model now, if it is not there, and whenever the server starts.

    Args:
        entry: `launch` with the fields of a launch; `enabled`, `priority`, `max_retries`,
            `retry_interval_seconds`.
    """
    return Call("upsert autostart model", "POST", _AUTOSTART, body=dict(entry), result=dict)


def remove_autostart_model(model_uid: str) -> Call[JSON]:
    """Launch a model no more when the server starts; until then it runs on."""
    path = f"{_AUTOSTART}/{quote(model_uid, safe='')}"
    return Call("remove autostart model", "DELETE", path, result=dict)


def list_cached_models(
    model_name: str | None = None, worker_ip: str | None = None
) -> Call[list[JSON]]:
    """What has been downloaded to the workers, what was used last first."""
    return Call(
        "list cached models",
        "GET",
        _CACHE,
        params=_given(model_name=model_name, worker_ip=worker_ip),
        result=lambda answer: list(answer["list"]),
    )


def list_deletable_models(model_version: str, worker_ip: str | None = None) -> Call[JSON]:
    """The files of a cached model, as `paths`."""
    return Call(
        "list files of a cached model",
        "GET",
        f"{_CACHE}/files",
        params=_given(model_version=model_version, worker_ip=worker_ip),
        result=dict,
    )


def confirm_and_remove_model(model_version: str, worker_ip: str | None = None) -> Call[bool]:
    """Remove a cached model from the disks of the workers, or of one."""
    return Call(
        "remove a cached model",
        "DELETE",
        _CACHE,
        params=_given(model_version=model_version, worker_ip=worker_ip),
        result=lambda answer: bool(answer["result"]),
    )


def get_supervisor_info() -> Call[JSON]:
    """Where the supervisor is: `supervisor_ip`."""
    return Call("get supervisor info", "GET", "/v1/supervisor", result=dict)


def get_workers_info() -> Call[list[JSON]]:
    """The workers: `work-ip`, `state`, `labels`, and `models` by the id of each replica."""
    return Call("get workers info", "GET", "/v1/workers", result=list)


def drain_worker(address: str) -> Call[JSON]:
    """Have a worker leave once other workers serve its models; `address` is its `work-ip`."""
    path = f"/v1/workers/{quote(address, safe='')}/drain"
    return Call("drain a worker", "POST", path, result=dict)


def abort_cluster() -> Call[bool]:
    """Stop the supervisor and all workers; running requests may finish."""
    return Call(
        "abort cluster", "DELETE", "/v1/clusters", result=lambda answer: bool(answer["result"])
    )


def _model(*parts: str) -> str:
    return "/v1/models/" + "/".join(quote(part, safe="") for part in parts)


def _registrations(*parts: str) -> str:
    return "/v1/model_registrations/" + "/".join(quote(part, safe="") for part in parts)


def _size(size: int | str | float | None) -> int | str | None:
    """Sizes are whole numbers or text: 7, "1.8", "0_5"."""
    if isinstance(size, float):
        return int(size) if size.is_integer() else str(size)
    return size


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def _nothing(answer: object) -> None:
    return None
