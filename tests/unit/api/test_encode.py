"""Embeddings, rerank, score and classify over HTTP: what is sent on, and what comes back."""

from __future__ import annotations

import asyncio
import base64
import math
from typing import Any

import httpx
import numpy as np
import pytest

from tests.unit.api.fakes import Api, Exchange, deployment
from xinfer.api.render.encode import embeddings
from xinfer.core.gateway import Encoding
from xinfer.errors import InvalidRequest, Unavailable
from xinfer.types.event import SPARSE_ENTRY, Usage
from xinfer.types.model import EncodeAbilities
from xinfer.types.request import EncodeRequest

pytestmark = pytest.mark.anyio

ROWS = [[0.1, -2.5, 1e-8], [3.4028235e38, 1 / 3, 0.0]]
VECTORS = EncodeAbilities(
    batch_tokens=8, batch_items=4, pooling="cls", dimensions=3, matryoshka=True,
    prompts={"query": "q: "},
)  # fmt: skip
SCORES = EncodeAbilities(batch_tokens=8, batch_items=4, scores=1, labels=("no", "yes"))
SURE = EncodeAbilities(batch_tokens=8, batch_items=4, scores=1, probabilities=True)


def encoding(rows: list[list[float]], tokens: int = 7, *truncated: int) -> Encoding:
    data = bytearray(np.array(rows, "<f4").tobytes())
    return Encoding(data, len(rows[0]), Usage(tokens), truncated, 0.5)


def api(*encodings: Encoding | Exception) -> Api:
    made = Api(
        deployment(),
        deployment("embed", type="embedding", abilities=(), encode=VECTORS),
        deployment("rank", type="rerank", abilities=(), encode=SCORES),
        deployment("sure", type="rerank", abilities=(), encode=SURE),
    )
    made.gateway.encodings += encodings  # type: ignore[arg-type]
    return made


async def embed(made: Api, **body: Any) -> httpx.Response:
    return await made.http.post(
        "/v1/embeddings", json={"model": "embed", "input": ["a", "b"], **body}
    )


async def test_vectors_come_with_the_tokens_that_they_took() -> None:
    made = api(encoding(ROWS))
    answer = await embed(made)
    assert answer.status_code == 200
    body = answer.json()
    assert [(one["index"], one["object"]) for one in body["data"]] == [
        (0, "embedding"),
        (1, "embedding"),
    ]
    assert {k: v for k, v in body.items() if k != "data"} == {
        "object": "list",
        "model": "embed",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
        "truncated": [],
    }
    assert "X-Truncated-Inputs" not in answer.headers
    assert made.gateway.requests == [EncodeRequest(texts=["a", "b"])]


async def test_numbers_are_exactly_the_models_and_no_longer_than_they_need_be() -> None:
    answer = await embed(api(encoding(ROWS)))
    got = [one["embedding"] for one in answer.json()["data"]]
    assert np.array_equal(np.array(got, np.float32), np.array(ROWS, np.float32))
    assert "[0.1,-2.5,1e-8]" in answer.text
    assert "0.33333334" in answer.text


async def test_base64_is_little_endian_float32() -> None:
    answer = await embed(api(encoding(ROWS)), encoding_format="base64")
    raw = base64.b64decode(answer.json()["data"][1]["embedding"])
    assert np.array_equal(np.frombuffer(raw, "<f4"), np.array(ROWS[1], np.float32))


async def test_sparse_vectors_are_objects_of_token_ids_and_weights() -> None:
    rows = [[(5, 0.5), (7, 1.25)], []]
    data = [np.array(row, list(SPARSE_ENTRY)).tobytes() for row in rows]
    sparse = Encoding(bytearray(b"".join(data)), 0, Usage(7), lengths=(len(data[0]), 0))
    for form in ("float", "base64"):
        made = api(sparse)
        answer = await embed(made, return_sparse=True, encoding_format=form)
        got = [one["embedding"] for one in answer.json()["data"]]
        assert got == [{"5": 0.5, "7": 1.25}, {}]
        assert made.gateway.requests == [EncodeRequest(texts=["a", "b"], sparse=True)]


@pytest.mark.parametrize(
    ("sent", "texts"),
    [
        ("a", ["a"]),
        ("", [""]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [[1, 2]]),
        ([[1, 2], [3]], [[1, 2], [3]]),
        ([[]], [[]]),
    ],
)
async def test_texts_and_token_ids_come_alone_and_in_lists(sent: Any, texts: Any) -> None:
    made = api(encoding([[1.0]] * len(texts)))
    assert (await embed(made, input=sent)).status_code == 200
    assert made.gateway.requests == [EncodeRequest(texts=texts)]


@pytest.mark.parametrize(
    "sent",
    [[], None, [None], 3, True, [True], {"text": "a"}, [{"text": "a"}], ["a", 1], [1, "a"],
     [["a"]], [[1], "a"], [-1], [1.5], [[[1]]]],
)  # fmt: skip
async def test_anything_else_is_refused_by_its_field(sent: Any) -> None:
    made = api()
    answer = await embed(made, input=sent)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "input"
    assert made.gateway.requests == []


async def test_a_wrong_text_among_many_is_named_by_its_place() -> None:
    answer = await embed(api(), input=[*["a"] * 20, None])
    assert "item 20: expected `str`, got `null`" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        ({"dimensions": 2}, {"dimensions": 2}),
        ({"truncate_prompt_tokens": 9}, {"max_tokens": 9}),
        ({"truncate_prompt_tokens": -1}, {}),
        ({"truncate": False}, {"truncate": False}),
        ({"truncate": True}, {"truncate": True}),
        ({"normalize_embedding": False}, {"normalise": False}),
        ({"task": "query"}, {"prompt": "query"}),
        ({"input_type": "query"}, {"prompt": "query"}),
        ({"prompt_name": "query"}, {"prompt": "query"}),
        ({"user": "u", "normalize_embedding": True, "return_sparse": False}, {}),
    ],
)
async def test_parameters_are_passed_on(sent: dict[str, Any], asked: dict[str, Any]) -> None:
    made = api(encoding(ROWS))
    assert (await embed(made, **sent)).status_code == 200
    assert made.gateway.requests == [EncodeRequest(texts=["a", "b"], **asked)]


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"dimensions": 0}, "dimensions"),
        ({"truncate_prompt_tokens": 0}, "truncate_prompt_tokens"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"truncate": "no"}, "truncate"),
    ],
)
async def test_what_cannot_be_honoured_is_refused(sent: dict[str, Any], field: str) -> None:
    answer = await embed(api(), **sent)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == field


async def test_texts_that_were_cut_are_told_in_body_header_and_metrics() -> None:
    made = api(encoding(ROWS, 7, 1))
    answer = await embed(made)
    assert answer.json()["truncated"] == [1]
    assert answer.headers["X-Truncated-Inputs"] == "1"
    metrics = (await made.http.get("/metrics")).text
    assert 'xinfer_truncated_inputs_total{model="embed"} 1.0' in metrics
    assert 'xinfer_inputs_total{model="embed"} 2.0' in metrics
    assert 'xinfer_tokens_total{kind="prompt",model="embed"} 7.0' in metrics


async def test_unknown_fields_are_named() -> None:
    answer = await embed(api(encoding(ROWS)), colour="red")
    assert answer.headers["X-Ignored-Fields"] == "colour"


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/embeddings", {"model": "rank", "input": "a"}, "type rerank; this route needs a mo"),
        ("/v1/embeddings", {"model": "echo", "input": "a"}, "type LLM; this route needs a model"),
        ("/v1/rerank", {"model": "embed", "query": "q", "documents": ["a"]}, "of type embedding"),
        ("/v1/score", {"model": "embed", "text_1": "q", "text_2": "a"}, "of type embedding"),
        ("/v1/classify", {"model": "embed", "input": "q"}, "of type embedding"),
        ("/v1/completions", {"model": "embed", "prompt": "q"}, "of type embedding"),
    ],
)
async def test_a_model_of_another_type_is_refused_with_its_type(
    path: str, body: dict[str, Any], words: str
) -> None:
    answer = await api().http.post(path, json=body)
    assert answer.status_code == 400
    assert words in answer.json()["detail"]
    assert answer.json()["error"]["param"] == "model"


async def test_an_unknown_model_is_404() -> None:
    assert (await embed(api(), model="nope")).status_code == 404


async def test_the_models_refusals_name_the_field_of_the_texts() -> None:
    answer = await embed(api(InvalidRequest("Text 0: it is too long.")))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input")
    answer = await embed(api(Unavailable("Full.", retry_after=2.0)))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


async def test_a_request_whose_client_leaves_is_given_up() -> None:
    made = api()
    made.gateway.admission = asyncio.Event()
    exchange = Exchange(made.app, "/v1/embeddings", {"model": "embed", "input": "a"})
    async with exchange.running() as task:
        await asyncio.wait_for(made.gateway.waiting.wait(), 10)
        exchange.hang_up()
        await asyncio.wait_for(task, 10)
    assert made.gateway.given_up == 1


async def test_rendering_many_vectors_lets_others_be_served_meanwhile() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    many = Encoding(bytearray(4 * 1024 * 2000), 1024, Usage(1))
    await embeddings(many, model="m", base64=False)
    counting.cancel()
    assert turns >= 10


async def rerank(made: Api, path: str = "/v1/rerank", **body: Any) -> httpx.Response:
    documents = ["bad", {"text": "good"}, "so so"]
    whole = {"model": "rank", "query": "q", "documents": documents, **body}
    return await made.http.post(path, json=whole)


SCORED = [[-2.0], [3.0], [0.0]]


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
async def test_documents_come_by_their_relevance(path: str) -> None:
    made = api(encoding(SCORED, 7, 2))
    answer = await rerank(made, path)
    body = answer.json()
    assert [one["index"] for one in body["results"]] == [1, 2, 0]
    assert body["results"][1] == {"index": 2, "relevance_score": 0.5, "document": None}
    assert body["meta"] == {
        "api_version": None, "billed_units": None, "tokens": None, "warnings": None,
    }  # fmt: skip
    assert body["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert (body["model"], body["truncated"]) == ("rank", [2])
    assert body["id"] == answer.headers["X-Request-Id"]
    assert made.gateway.requests == [EncodeRequest(texts=["bad", "good", "so so"], queries=["q"])]


async def test_documents_and_lengths_come_when_they_are_asked_for() -> None:
    answer = await rerank(api(encoding(SCORED)), return_documents=True, return_len=True, top_n=2)
    body = answer.json()
    assert [one["document"] for one in body["results"]] == [{"text": "good"}, {"text": "so so"}]
    assert body["meta"]["tokens"] == {"input_tokens": 7, "output_tokens": 7}


async def test_what_xinferences_client_sends_is_understood() -> None:
    nulls = {"top_n": None, "max_chunks_per_doc": None, "return_documents": None}
    answer = await rerank(api(encoding(SCORED)), **nulls, return_len=None, kwargs="{}")
    assert answer.status_code == 200
    assert "X-Ignored-Fields" not in answer.headers


async def test_scores_are_from_0_to_1_unless_the_bare_ones_are_asked_for() -> None:
    def scores(answer: httpx.Response) -> list[float]:
        return [one["relevance_score"] for one in answer.json()["results"]]

    extremes = [[-200.0], [200.0], [0.0]]
    assert scores(await rerank(api(encoding(extremes)))) == [1.0, 0.5, pytest.approx(0, abs=1e-9)]
    bare = await rerank(api(encoding(SCORED)), use_activation=False)
    assert scores(bare) == [3.0, 0.0, -2.0]
    likely = await rerank(api(encoding([[0.25], [0.5], [0.75]])), model="sure")
    assert scores(likely) == [0.75, 0.5, 0.25]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("documents", []),
        ("documents", "a"),
        ("documents", [1]),
        ("documents", [{"image": "a"}]),
        ("documents", [None]),
        ("query", None),
        ("query", ["a"]),
        ("top_n", 0),
    ],
)
async def test_a_bad_field_of_rerank_is_named(field: str, value: Any) -> None:
    answer = await rerank(api(), **{field: value})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].partition(".")[0] == field


async def test_pairs_are_scored_one_with_all_or_one_with_each() -> None:
    made = api(encoding(SCORED), encoding([[0.0], [0.0]]))
    body = {"model": "rank", "text_1": "q", "text_2": ["a", "b", "c"]}
    answer = await made.http.post("/v1/score", json=body)
    assert [round(one["score"], 4) for one in answer.json()["data"]] == [0.1192, 0.9526, 0.5]
    body = {"model": "rank", "text_1": ["q", "r"], "text_2": ["a", "b"]}
    assert (await made.http.post("/v1/score", json=body)).status_code == 200
    assert made.gateway.requests == [
        EncodeRequest(texts=["a", "b", "c"], queries=["q"]),
        EncodeRequest(texts=["a", "b"], queries=["q", "r"]),
    ]
    body = {"model": "rank", "text_1": ["q", "r"], "text_2": "a"}
    refused = await made.http.post("/v1/score", json=body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "text_1")


async def test_classes_come_with_what_they_are_called_and_how_likely_they_are() -> None:
    made = api(encoding([[0.0, math.log(3), math.log(4)], [1.0, 0.0, 0.0]]))
    body = {"model": "rank", "input": [["p", "h"], ["r", "i"]]}
    answer = await made.http.post("/v1/classify", json=body)
    first, second = answer.json()["data"]
    assert first["probs"] == pytest.approx([1 / 8, 3 / 8, 4 / 8], rel=1e-5)
    assert (first["label"], first["num_classes"], second["label"]) == ("LABEL_2", 3, "no")
    assert made.gateway.requests == [EncodeRequest(texts=["h", "i"], queries=["p", "r"])]


async def test_texts_are_classified_by_themselves() -> None:
    made = api(encoding([[1.0, 2.0]]))
    answer = await made.http.post("/v1/classify", json={"model": "rank", "input": "a"})
    assert answer.json()["data"][0]["label"] == "yes"
    assert made.gateway.requests == [EncodeRequest(texts=["a"])]


@pytest.mark.parametrize(
    ("sent", "names"),
    [
        ([1, 2], ["token 1", "token 2"]),
        (["1", 2], ["token 1", "token 2"]),
        ([[1], [2, 3]], [["token 1"], ["token 2", "token 3"]]),
        ([], []),
    ],
)
async def test_tokens_are_told_what_they_are_called(sent: Any, names: Any) -> None:
    answer = await api().http.post(
        "/v1/convert_ids_to_tokens", json={"model": "embed", "input": sent}
    )
    assert answer.json() == names


@pytest.mark.parametrize("sent", [None, "a", ["a"], [-1], [1.5], [[1], 2], [1] * 20_000])
async def test_what_are_no_tokens_is_refused(sent: Any) -> None:
    answer = await api().http.post(
        "/v1/convert_ids_to_tokens", json={"model": "embed", "input": sent}
    )
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input")


async def test_models_are_listed_with_what_clients_read_of_their_type() -> None:
    made = api()
    embedding = (await made.http.get("/v1/models/embed")).json()
    assert embedding["model_type"] == "embedding"
    assert embedding["dimensions"] == 3
    assert embedding["max_tokens"] == embedding["context_length"] == 2048
    assert embedding["language"] == ["en"]
    assert embedding["model_revision"] is None
    assert embedding["model_ability"] == ["embed"]
    assert embedding["tasks"] == ["query"]
    rank = (await made.http.get("/v1/models/rank")).json()
    assert (rank["model_type"], rank["type"], rank["max_tokens"]) == ("rerank", "normal", 2048)
    assert "dimensions" not in rank
    assert "max_tokens" not in (await made.http.get("/v1/models/echo")).json()
    listed = (await made.http.get("/v1/models")).json()["data"]
    assert embedding in listed
