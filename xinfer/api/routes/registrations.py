"""The catalogue of models that can be launched by name, and adding one's own to it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from xinfer.api.catalogue import cache_status, read_catalogue
from xinfer.api.requests import JsonRoute
from xinfer.api.routes.generation import ignored_fields, ignored_header
from xinfer.api.schemas.registrations import AutoRegisterBody, RegisterBody
from xinfer.api.services import services
from xinfer.errors import InvalidRequest, NotFound
from xinfer.model.catalog.describe import brief, describe, prompt, size_text
from xinfer.model.catalog.schema import TYPES
from xinfer.model.inspect.model import inspect_path
from xinfer.types.control import Register, Unregister
from xinfer.types.model import ModelSpec

router = APIRouter(route_class=JsonRoute, tags=["catalogue"])

EMPTY_TYPES = ("video", "flexible")
"""Types of Xinference's that no model here has."""
ABILITIES = ("chat", "generate", "tools", "vision", "reasoning", "audio", "omni", "hybrid")


@router.get("/v1/model_registrations/{model_type}", response_model=list[dict[str, Any]])
async def list_registrations(request: Request, model_type: str, detailed: bool = False) -> Response:
    """The models of one type; with `detailed`, each with its formats, sizes and quantisations."""
    _check_type(model_type)
    here = services(request)
    catalogue = await read_catalogue(here)

    def answer() -> list[dict[str, Any]]:
        is_cached = cache_status(here.settings)
        models = [] if model_type in EMPTY_TYPES else catalogue.list(model_type)
        return [describe(one, is_cached) if detailed else brief(one) for one in models]

    return await _on_thread(answer)


@router.get("/v1/model_registrations/{model_type}/{model_name:path}", response_model=dict[str, Any])
async def get_registration(request: Request, model_type: str, model_name: str) -> Response:
    """One model."""
    _check_type(model_type)
    here = services(request)
    catalogue = await read_catalogue(here)

    def answer() -> dict[str, Any]:
        entry = catalogue.find(model_name)
        if entry.type != model_type:
            raise NotFound(
                f"{entry.name!r} is of type {entry.type}, not {model_type}.",
                code="model_not_found",
                param="model_type",
            )
        return describe(entry, cache_status(here.settings))

    return await _on_thread(answer)


@router.post("/v1/model_registrations/{model_type}")
async def register_model(
    request: Request, response: Response, model_type: str, body: RegisterBody
) -> None:
    """Describe a model of one's own, which can then be launched by its name."""
    body.check_supported()
    registered = await services(request).control.call(
        Register(model_type, body.model, persist=body.persist)
    )
    response.headers.update(ignored_header([*body.ignored_fields(), *registered["ignored"]]))


@router.delete("/v1/model_registrations/{model_type}/{model_name:path}")
async def unregister_model(request: Request, model_type: str, model_name: str) -> None:
    """Forget a model of one's own; where it runs, it goes on."""
    await services(request).control.call(Unregister(model_type, model_name))


@router.post("/v1/models/llm/auto-register")
async def describe_files(
    request: Request, response: Response, body: AutoRegisterBody
) -> dict[str, Any]:
    """The description with which a model's files can be registered, as they say of themselves."""
    response.headers.update(ignored_fields(body))
    model = await asyncio.to_thread(inspect_path, body.model_path)
    return _registration(model, body.model_family)


@router.get("/v1/models/prompts")
async def list_prompts(request: Request) -> dict[str, dict[str, Any]]:
    """Chat templates and stop words by model, of those whose files are not left to say."""
    models = (await read_catalogue(services(request))).list("LLM")
    prompts = {one.name: prompt(one) for one in models if "chat" in one.abilities}
    return {name: one for name, one in prompts.items() if any(one.values())}


@router.get("/v1/models/families")
async def list_families(request: Request) -> dict[str, list[str]]:
    """Names of language models by ability."""
    models = (await read_catalogue(services(request))).list("LLM")
    return {
        ability: [one.name for one in models if ability in one.abilities] for ability in ABILITIES
    }


def _registration(model: ModelSpec, family: str | None) -> dict[str, Any]:
    if model.type != "LLM":
        raise InvalidRequest(
            f"{model.path} holds a model of type {model.type}, not an LLM.", param="model_path"
        )
    return {
        "version": 2,
        "model_name": "".join(one if one.isalnum() or one in "._-" else "-" for one in model.name),
        "model_description": model.description,
        "model_lang": list(model.languages),
        "model_ability": list(model.abilities),
        "model_family": family or model.family,
        "context_length": model.context_length or None,
        "chat_template": None,
        "stop": None,
        "stop_token_ids": None,
        "model_specs": [
            {
                "model_format": model.format,
                "model_size_in_billions": size_text(model.size_in_billions),
                "quantization": model.quantization,
                "model_id": None,
                "model_hub": "huggingface",
                "model_uri": Path(model.path).as_uri(),
                "model_revision": None,
            }
        ],
    }


def _check_type(model_type: str) -> None:
    types = (*TYPES, *EMPTY_TYPES)
    if model_type not in types:
        raise InvalidRequest(
            f"There is no model type {model_type[:100]!r}. Types: {', '.join(types)}.",
            param="model_type",
        )


async def _on_thread(answer: Callable[[], Any]) -> Response:
    """What is made and encoded on a thread: it looks at the disk, and may be megabytes."""
    body = await asyncio.to_thread(lambda: msgspec.json.encode(answer()))
    return Response(body, media_type="application/json")
