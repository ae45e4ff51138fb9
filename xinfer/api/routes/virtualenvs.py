"""Virtual environments of models: what there is on the workers, and removing it."""

from typing import Any

from fastapi import APIRouter, Request

from xinfer.api.services import services
from xinfer.types.cluster import RemoveEnvironments
from xinfer.types.control import DropEnvironments, ReadEnvironments

router = APIRouter(tags=["management"])


@router.get("/v1/virtualenvs")
async def list_virtual_environments(
    request: Request,
    model_name: str | None = None,
    model_engine: str | None = None,
    worker_ip: str | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """The environments that launches made with their packages, one entry for each model."""
    found = await services(request).control.call(
        ReadEnvironments(model_name or None, model_engine or None, worker_ip or None)
    )
    return {"list": [_entry(one) for one in found]}


@router.delete("/v1/virtualenvs")
async def remove_virtual_environments(
    request: Request,
    model_name: str,
    model_engine: str | None = None,
    python_version: str | None = None,
    worker_ip: str | None = None,
) -> dict[str, bool]:
    """Remove those of a model; 409 while a replica runs in one. Models that share one make it
    again when they are launched next."""
    wanted = RemoveEnvironments(
        model_name=model_name, engine=model_engine or None, python_version=python_version or None
    )
    removed = await services(request).control.call(DropEnvironments(wanted, worker_ip or None))
    return {"result": removed}


def _entry(found: dict[str, Any]) -> dict[str, Any]:
    environment = found["environment"]
    return {
        "model_name": found["model_name"],
        "model_engine": ", ".join(environment["engines"]),
        "path": environment["path"],
        "real_path": environment["path"],
        "python_version": environment["python_version"],
        "actor_ip_address": found["worker"],
        "packages": environment["packages"],
    }
