"""POST /v1/embeddings, and what tokens of a model are called."""

from typing import Any

from fastapi import APIRouter, Request, Response

from xinfer.api.render.encode import embeddings
from xinfer.api.requests import InferenceRoute, JsonRoute
from xinfer.api.routes.encoding import begin_encoding, encode
from xinfer.api.routes.generation import json_answer
from xinfer.api.schemas.answers import EMBEDDING_ANSWER
from xinfer.api.schemas.encode import EmbeddingBody, SpellBody
from xinfer.api.services import services

router = APIRouter(route_class=InferenceRoute, tags=["inference"])
tokens = APIRouter(route_class=JsonRoute, tags=["inference"])


@router.post("/v1/embeddings", responses=EMBEDDING_ANSWER, response_class=Response)
async def create_embeddings(request: Request, body: EmbeddingBody) -> Response:
    """Make a vector of each text."""
    call = begin_encoding(request, body, "embeddings", "embedding")
    encoding = await encode(request, call, body.request(), "input")
    base64 = body.encoding_format == "base64"
    answer = await embeddings(encoding, model=call.uid, base64=base64)
    return json_answer(answer, call.headers)


@tokens.post("/v1/convert_ids_to_tokens")
async def convert_ids_to_tokens(request: Request, body: SpellBody) -> list[Any]:
    """What tokens are called in the model's vocabulary, in the shape of the ids."""
    names = iter(await services(request).gateway.spell(body.model, body.ids()))
    return [
        [next(names) for _ in one] if isinstance(one, list) else next(names) for one in body.input
    ]
