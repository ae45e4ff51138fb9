"""Which engines can run a model here, and why the others cannot."""

import asyncio
import logging
from typing import Any

import msgspec
from fastapi import APIRouter, Query, Request

from xinfer.api.schemas.answers import EngineAnswer
from xinfer.api.services import services
from xinfer.model.catalog.support import ordered_engines
from xinfer.model.engine import find_engine
from xinfer.model.option_descriptions import describe_options
from xinfer.types.control import ReadEngines
from xinfer.types.deployment import LaunchSpec

logger = logging.getLogger(__name__)

router = APIRouter(tags=["catalogue"])

TYPES = ("LLM", "embedding", "rerank", "image", "audio", "video", "flexible")

Answers = dict[str, list[dict[str, Any]] | str]


@router.get("/v1/engines", response_model=dict[str, EngineAnswer])
async def describe_engines() -> dict[str, Any]:
    """All engines with their launch options, in the order in which they are preferred."""
    return await asyncio.to_thread(_described)


@router.get("/v1/engines/{model_name}", response_model=Answers)
@router.get("/v1/engines/{model_name:path}", response_model=Answers, include_in_schema=False)
async def list_engines(
    request: Request, model_name: str, enable_virtual_env: bool | None = Query(None)
) -> Answers:
    """By engine: what it can run of this model, or the reason why it cannot, with the extra that
    brings it. The model is named as a launch names it, after its type and a slash if you like;
    `enable_virtual_env` changes nothing, since engines are not installed on demand."""
    kind, slash, rest = model_name.partition("/")
    named = slash and kind in TYPES
    spec = LaunchSpec(model_name=rest if named else model_name, model_type=kind if named else None)
    answers: Answers = await services(request).control.call(ReadEngines(spec))
    return answers


def _described() -> dict[str, Any]:
    described: dict[str, Any] = {}
    for name in ordered_engines():
        try:
            options = describe_options(find_engine(name)[1].options())
        except (ImportError, AttributeError) as error:  # one of somebody else's
            logger.warning("Engine %s cannot be imported: %s", name, error)
            continue
        described[name] = {"options": msgspec.to_builtins(options)}
    return described
