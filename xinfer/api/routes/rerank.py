"""POST /v1/rerank, /v1/score and /v1/classify."""

from fastapi import APIRouter, Request, Response

from xinfer.api.render import encode as render
from xinfer.api.requests import InferenceRoute
from xinfer.api.routes.encoding import abilities, begin_encoding, encode, to_activate
from xinfer.api.routes.generation import json_answer
from xinfer.api.schemas.answers import CLASSIFY_ANSWER, RERANK_ANSWER, SCORE_ANSWER
from xinfer.api.schemas.encode import ClassifyBody, RerankBody, ScoreBody

router = APIRouter(route_class=InferenceRoute, tags=["inference"])


@router.post("/rerank", responses=RERANK_ANSWER, response_class=Response)
@router.post("/v2/rerank", responses=RERANK_ANSWER, response_class=Response)
@router.post("/v1/rerank", responses=RERANK_ANSWER, response_class=Response)
async def rerank(request: Request, body: RerankBody) -> Response:
    """Put documents in order of their relevance to a query."""
    call = begin_encoding(request, body, "rerank", "rerank")
    encoding = await encode(request, call, body.request(), "documents")
    answer = render.rerank(
        encoding,
        body.documents if body.return_documents else None,
        request_id=call.request_id,
        model=call.uid,
        top_n=body.top_n,
        tokens=bool(body.return_len),
        activated=to_activate(call, body.use_activation),
    )
    return json_answer(answer, call.headers)


@router.post("/v1/score", responses=SCORE_ANSWER, response_class=Response)
async def score(request: Request, body: ScoreBody) -> Response:
    """Score pairs of texts."""
    call = begin_encoding(request, body, "score", "rerank")
    encoding = await encode(request, call, body.request(), "text_2")
    answer = render.scores(
        encoding,
        request_id=call.request_id,
        model=call.uid,
        created=call.created,
        activated=to_activate(call, body.use_activation),
    )
    return json_answer(answer, call.headers)


@router.post("/v1/classify", responses=CLASSIFY_ANSWER, response_class=Response)
async def classify(request: Request, body: ClassifyBody) -> Response:
    """Tell the class of texts, or of pairs of texts."""
    call = begin_encoding(request, body, "classify", "rerank")
    encoding = await encode(request, call, body.request(), "input")
    answer = render.classes(
        encoding,
        abilities(call),
        request_id=call.request_id,
        model=call.uid,
        created=call.created,
        activated=to_activate(call, body.use_activation),
    )
    return json_answer(answer, call.headers)
