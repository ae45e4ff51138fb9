"""Embeddings and rerank through the clients that people use, unmodified, or by their very calls."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from tests.support.retrieval import Retrieval, retrieval
from tests.support.server import Server

TEXTS = ["the cat sat on the mat", "where is the red dog", "blue sun", "run"]
QUERY, DOCUMENTS = "where is the cat", ["blue sun", "the cat sat on the mat", "the red dog run"]


@pytest.fixture(scope="module")
def models(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Retrieval]:
    with retrieval(server, tmp_path_factory.mktemp("models"), "clients") as made:
        yield made


@pytest.fixture
def sdk(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="not-needed", max_retries=0) as made:
        yield made


@pytest.fixture(params=["xinference_client", "xinference.client"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[Any]:
    made = importlib.import_module(request.param).RESTfulClient(server.url)
    yield made
    made.close()
    gc.collect()  # while the filters below hold


def is_vector(models: Retrieval, got: list[float], text: str) -> bool:
    return bool(np.allclose(got, models.vector(text), atol=2e-3))


def ranking(models: Retrieval) -> list[int]:
    """The documents' order, by the reference."""
    scores = [models.score(QUERY, document) for document in DOCUMENTS]
    return sorted(range(len(scores)), key=lambda index: -scores[index])


def test_openais_sdk_gets_the_models_vectors(sdk: openai.OpenAI, models: Retrieval) -> None:
    answer = sdk.embeddings.create(model=models.embedding, input=TEXTS)
    assert [one.index for one in answer.data] == [0, 1, 2, 3]
    for one, text in zip(answer.data, TEXTS, strict=True):
        assert is_vector(models, one.embedding, text)
    words = sum(len(text.split()) for text in TEXTS)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == words + 2 * len(TEXTS)
    assert answer.model == models.embedding


def test_openais_sdk_gets_the_same_as_base64_and_as_numbers(
    sdk: openai.OpenAI, models: Retrieval
) -> None:
    by_default = sdk.embeddings.create(model=models.embedding, input=TEXTS[0])  # base64
    numbers = sdk.embeddings.create(model=models.embedding, input=TEXTS[0], encoding_format="float")
    assert np.array_equal(
        np.float32(by_default.data[0].embedding), np.float32(numbers.data[0].embedding)
    )


def test_openais_sdk_sends_tokens_too(sdk: openai.OpenAI, models: Retrieval) -> None:
    ids = [2, 4, 5, 3]  # [CLS] the cat [SEP]
    answer = sdk.embeddings.create(model=models.embedding, input=[ids])
    assert is_vector(models, answer.data[0].embedding, "the cat")


def test_openais_sdk_is_told_what_is_wrong(sdk: openai.OpenAI, models: Retrieval) -> None:
    with pytest.raises(openai.BadRequestError, match="not trained to have them shortened"):
        sdk.embeddings.create(model=models.embedding, input="the", dimensions=8)
    with pytest.raises(openai.BadRequestError, match="of type rerank"):
        sdk.embeddings.create(model=models.rerank, input="the")


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_xinferences_client_makes_vectors(client: Any, models: Retrieval) -> None:
    handle = client.get_model(models.embedding)
    answer = handle.create_embedding(TEXTS)
    for one, text in zip(answer["data"], TEXTS, strict=True):
        assert is_vector(models, one["embedding"], text)
    assert handle.create_embedding(TEXTS[0])["usage"]["total_tokens"] == 8
    assert handle.convert_ids_to_tokens([2, 4, 3]) == ["[CLS]", "▁the", "[SEP]"]


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_xinferences_client_ranks(client: Any, models: Retrieval) -> None:
    handle = client.get_model(models.rerank)
    ranked = handle.rerank(DOCUMENTS, QUERY, top_n=2, return_documents=True, return_len=True)
    assert [one["index"] for one in ranked["results"]] == ranking(models)[:2]
    first = ranked["results"][0]
    assert first["document"] == {"text": DOCUMENTS[first["index"]]}
    score = models.score(QUERY, DOCUMENTS[first["index"]])
    assert first["relevance_score"] == pytest.approx(score, abs=2e-3)
    assert ranked["meta"]["tokens"]["input_tokens"] == ranked["usage"]["prompt_tokens"]
    assert len(handle.rerank(DOCUMENTS, QUERY)["results"]) == 3


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_langchains_calls(client: Any, models: Retrieval) -> None:
    """`XinferenceEmbeddings`: a handle for each batch, and a request for each text."""
    handle = client.get_model(models.embedding)
    embeddings = [handle.create_embedding(text)["data"][0]["embedding"] for text in TEXTS]
    rows = [list(map(float, embedding)) for embedding in embeddings]
    assert all(is_vector(models, row, text) for row, text in zip(rows, TEXTS, strict=True))


def test_llamaindexs_calls(server: Server, models: Retrieval) -> None:
    """`XinferenceEmbedding` and `XinferenceRerank`: bare POSTs without a key."""
    body: dict[str, Any] = {"model": models.embedding, "input": TEXTS[1]}
    answer = server.http.post("/v1/embeddings", json=body).json()
    assert is_vector(models, answer["data"][0]["embedding"], TEXTS[1])
    body = {"model": models.rerank, "query": QUERY, "documents": DOCUMENTS}
    ranked = server.http.post("/v1/rerank", json=body).json()["results"]
    assert [one["index"] for one in ranked] == ranking(models)
    assert all(isinstance(one["relevance_score"], float) for one in ranked)


def test_difys_calls(server: Server, models: Retrieval) -> None:
    """What its plugin reads of a model, and sends to it."""
    described = server.http.get(f"/v1/models/{models.embedding}").json()
    assert (described["model_type"], described["max_tokens"]) == ("embedding", 128)
    ping = {"model": models.embedding, "input": ["ping"]}
    assert server.http.post("/v1/embeddings", json=ping).json()["usage"]["total_tokens"] == 3
    assert server.http.get(f"/v1/models/{models.rerank}").json()["model_type"] == "rerank"
    answer = server.http.post(
        "/v1/rerank",
        json={
            "model": models.rerank,
            "documents": DOCUMENTS,
            "query": QUERY,
            "top_n": 3,
            "max_chunks_per_doc": None,
            "return_documents": True,
            "return_len": None,
            "kwargs": "{}",
        },
    )
    documents = [
        one["document"]["text"] for one in answer.json()["results"] if one["relevance_score"] >= 0
    ]
    assert documents == [DOCUMENTS[index] for index in ranking(models)]
    wrong = server.http.post("/v1/rerank", json={"model": models.rerank, "query": QUERY})
    assert isinstance(wrong.json()["detail"], str)


def test_fastgpts_call(server: Server, models: Retrieval) -> None:
    answer = httpx.post(
        f"{server.url}/v1/rerank",
        headers={"Authorization": "Bearer sk-anything"},
        json={"model": models.rerank, "query": QUERY, "documents": DOCUMENTS},
        timeout=30,
        trust_env=False,
    )
    scored = [(one["index"], one["relevance_score"]) for one in answer.json()["results"]]
    assert [index for index, _ in scored] == ranking(models)
    assert all(0 <= score <= 1 for _, score in scored)
