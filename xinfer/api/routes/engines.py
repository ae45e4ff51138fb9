"""Which engines can run a model here, and why the others cannot."""

from typing import Any

from fastapi import APIRouter, Query, Request

from xinfer.api.services import services
from xinfer.types.control import ReadEngines
from xinfer.types.deployment import LaunchSpec

router = APIRouter(tags=["catalogue"])

TYPES = ("LLM", "embedding", "rerank", "image", "audio", "video", "flexible")

Answers = dict[str, list[dict[str, Any]] | str]


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
