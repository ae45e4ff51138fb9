"""POST /tokenize and /detokenize, by the model's own tokenizer; no slot of it is taken."""

from fastapi import APIRouter, Request, Response

from xinfer.api.lifetime import within
from xinfer.api.media import with_media
from xinfer.api.render.tokens import text_of_tokens, tokens_of_text
from xinfer.api.requests import InferenceRoute
from xinfer.api.routes.encoding import require_type
from xinfer.api.routes.generation import ignored_fields, json_answer
from xinfer.api.schemas.answers import DETOKENIZE_ANSWER, TOKENIZE_ANSWER
from xinfer.api.schemas.encode import check_spelled
from xinfer.api.schemas.tokens import DetokenizeBody, TokenizeBody
from xinfer.api.services import Services, services
from xinfer.types.request import ChatRequest, TextRequest

router = APIRouter(route_class=InferenceRoute, tags=["inference"])


@router.post("/tokenize", responses=TOKENIZE_ANSWER, response_class=Response)
async def tokenize(request: Request, body: TokenizeBody) -> Response:
    """The tokens of a text, or of the prompt that a conversation becomes."""
    here = services(request)
    body.check_supported()
    require_type(request, body.model, "LLM")
    asked = body.request()
    if isinstance(asked, ChatRequest):
        asked = await with_media(request, body.model, asked)
    answer = await within(request.receive, here.drain, _tokenized(here, body, asked))
    return json_answer(answer, ignored_fields(body))


@router.post("/detokenize", responses=DETOKENIZE_ANSWER, response_class=Response)
async def detokenize(request: Request, body: DetokenizeBody) -> Response:
    """The text of tokens."""
    here = services(request)
    require_type(request, body.model, "LLM")
    work = here.gateway.detokenize(body.model, body.tokens)
    text = await within(request.receive, here.drain, work)
    return json_answer(text_of_tokens(text), ignored_fields(body))


async def _tokenized(here: Services, body: TokenizeBody, asked: TextRequest) -> bytes:
    ids = await here.gateway.tokenize(body.model, asked, bare=body.bare)
    names = None
    if body.return_token_strs:
        check_spelled(len(ids), "prompt" if body.messages is None else "messages")
        names = await here.gateway.spell(body.model, ids)
    status = here.table.status(body.model)
    loaded = status.loaded
    most = loaded.context_length if loaded else status.deployment.model.context_length
    return tokens_of_text(ids, names, context_length=most)
