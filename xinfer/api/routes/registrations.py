"""The catalogue of models that can be launched by name."""

from typing import Any

from fastapi import APIRouter

from xinfer.errors import InvalidRequest, NotFound
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.describe import brief, describe
from xinfer.model.catalog.entries import entries

router = APIRouter(tags=["catalogue"])

TYPES = ("LLM", "embedding", "rerank", "image", "audio", "video", "flexible")


# Plain functions, so that they run on a thread: looking at caches touches the disk.
@router.get("/v1/model_registrations/{model_type}")
def list_registrations(model_type: str, detailed: bool = False) -> list[dict[str, Any]]:
    """The models of one type; with `detailed`, each with its formats and sizes."""
    _check_type(model_type)
    show = describe if detailed else brief
    return [show(entry) for entry in entries() if entry.type == model_type]


@router.get("/v1/model_registrations/{model_type}/{model_name:path}")
def get_registration(model_type: str, model_name: str) -> dict[str, Any]:
    """One model."""
    _check_type(model_type)
    entry = Catalogue().find(model_name)
    if entry.type != model_type:
        raise NotFound(
            f"{entry.name!r} is of type {entry.type}, not {model_type}.",
            code="model_not_found",
            param="model_type",
        )
    return describe(entry)


def _check_type(model_type: str) -> None:
    if model_type not in TYPES:
        raise InvalidRequest(
            f"There is no model type {model_type[:100]!r}. Types: {', '.join(TYPES)}.",
            param="model_type",
        )
