"""Embeddings on a whole server: large and small requests together, and processes that are lost."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from tests.support.gguf_encoders import WORDS
from tests.support.retrieval import Retrieval, retrieval
from tests.support.server import Server
from tests.support.waiting import eventually

MANY = [" ".join(WORDS[(n + k) % len(WORDS)] for k in range(n % 9 + 1)) for n in range(10_000)]


@pytest.fixture(scope="module")
def models(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Retrieval]:
    with retrieval(server, tmp_path_factory.mktemp("models"), "whole", replica=2) as made:
        yield made


def embed(models: Retrieval, texts: str | list[str]) -> httpx.Response:
    return models.server.http.post(
        "/v1/embeddings", json={"model": models.embedding, "input": texts}, timeout=120
    )


def test_ten_thousand_texts_are_answered_in_order_and_hold_up_nobody(models: Retrieval) -> None:
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(embed, models, MANY)
        eventually(lambda: _running(models) > 0, 20, "the large request")
        waits, health = [], []
        while not large.done():
            began = time.monotonic()
            assert embed(models, "the cat").status_code == 200
            waits.append(time.monotonic() - began)
            began = time.monotonic()
            assert models.server.http.get("/livez").status_code == 200
            health.append(time.monotonic() - began)
        answer = large.result()
    assert answer.status_code == 200
    data = answer.json()["data"]
    assert [one["index"] for one in data] == list(range(10_000))
    for n in range(0, 10_000, 997):
        assert np.allclose(data[n]["embedding"], models.vector(MANY[n]), atol=2e-3)
    assert len(waits) >= 5, "small requests were served meanwhile"
    assert statistics.median(waits) < 1
    assert statistics.median(health) < 0.5


def test_a_text_of_ten_megabytes_is_cut_short_and_told(models: Retrieval) -> None:
    answer = embed(models, "the cat " * 1_250_000)
    assert answer.status_code == 200
    assert (answer.json()["truncated"], answer.json()["usage"]["prompt_tokens"]) == ([0], 128)
    assert answer.headers["X-Truncated-Inputs"] == "1"


def test_requests_of_a_killed_process_are_answered_by_another(models: Retrieval) -> None:
    server = models.server
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(embed, models, MANY[n : n + 2000]) for n in range(0, 8000, 1000)]
        eventually(lambda: _running(models) >= 4, 20, "running requests")
        pid = server.replicas(models.embedding)[0]["pid"]
        os.kill(pid, signal.SIGKILL)
        for n, answer in zip(range(0, 8000, 1000), answers, strict=True):
            got = answer.result()
            assert got.status_code == 200, got.text
            data = got.json()["data"]
            assert np.allclose(data[-1]["embedding"], models.vector(MANY[n + 1999]), atol=2e-3)
    eventually(
        lambda: all(one["state"] == "READY" for one in server.replicas(models.embedding)), 30
    )


def test_a_request_is_aborted_by_its_id(models: Retrieval) -> None:
    server = models.server
    with ThreadPoolExecutor(1) as pool:
        body = {"model": models.embedding, "input": MANY, "request_id": "abort-me"}
        large = pool.submit(server.http.post, "/v1/embeddings", json=body)
        eventually(lambda: _running(models) > 0, 20, "the large request")
        path = f"/v1/models/{models.embedding}/requests/abort-me/abort"
        assert server.http.post(path, json={}).json() == {"msg": "DONE"}
        assert large.result().status_code == 499
    eventually(lambda: _running(models) == 0, 5, "nothing running")


def test_requests_whose_clients_leave_are_gone_at_once(models: Retrieval) -> None:
    for _ in range(20):
        with pytest.raises(httpx.ReadTimeout):
            models.server.http.post(
                "/v1/embeddings", json={"model": models.embedding, "input": MANY}, timeout=0.2
            )
    eventually(lambda: _running(models) == 0, 5, "nothing running")
    assert embed(models, "the cat").status_code == 200


def _running(models: Retrieval) -> int:
    return sum(one["running"] for one in models.server.replicas(models.embedding))
