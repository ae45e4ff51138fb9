"""The models that have been downloaded to the workers: listed, and removed."""

from typing import Any

from fastapi import APIRouter, Request

from xinfer.api.services import services
from xinfer.errors import NotFound
from xinfer.types.control import ReadCache, RemoveCached

router = APIRouter(tags=["cache"])


@router.get("/v1/cache/models")
async def list_cached(
    request: Request, model_name: str | None = None, worker_ip: str | None = None
) -> dict[str, list[dict[str, Any]]]:
    """What each worker has on its disk, of one model or of all, what was used last first."""
    cached = await _read(request, worker_ip)
    shown = [each for each in cached if model_name is None or _is(each, model_name)]
    return {"list": [_describe(each) for each in shown]}


@router.get("/v1/cache/models/files")
async def list_cached_files(
    request: Request, model_version: str, worker_ip: str | None = None
) -> dict[str, Any]:
    """What removing a model would remove: `model_version` is one that the list names, a model's
    name, or a repository."""
    cached = await _read(request, worker_ip)
    paths = [
        f"{each['path']}/{name}"
        for each in cached
        if _is(each, model_version)
        for name in each["files"]
    ]
    if not paths:
        raise NotFound(
            f"No worker has {model_version[:100]!r} in its cache.",
            code="not_cached",
            param="model_version",
        )
    return {"model_version": model_version, "worker_ip": worker_ip, "paths": paths}


@router.delete("/v1/cache/models")
async def remove_cached(
    request: Request, model_version: str, worker_ip: str | None = None
) -> dict[str, bool]:
    """Remove a model from the disks of the workers. 409 where it runs or is being downloaded."""
    await services(request).control.call(RemoveCached(model_version, worker_ip))
    return {"result": True}


async def _read(request: Request, worker: str | None) -> list[dict[str, Any]]:
    cached: list[dict[str, Any]] = await services(request).control.call(ReadCache(worker))
    return cached


def _is(cached: dict[str, Any], name: str) -> bool:
    names = (cached["model_version"], cached["model_name"], cached["repo"])
    return name.lower() in (each.lower() for each in names)


def _describe(cached: dict[str, Any]) -> dict[str, Any]:
    return {
        "model_name": cached["model_name"],
        "model_type": cached["model_type"],
        "model_size_in_billions": cached["model_size_in_billions"],
        "model_format": cached["model_format"],
        "quantization": cached["quantization"],
        "model_version": cached["model_version"],
        "path": cached["path"],
        "real_path": cached["path"],
        "actor_ip_address": cached["worker"],
        "model_hub": cached["hub"],
        "model_id": cached["repo"],
        "revision": cached["commit"],
        "size_bytes": cached["size_bytes"],
        "last_used": cached["last_used"],
    }
