"""Memory over many requests of all kinds."""

from __future__ import annotations

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.retrieval import retrieval
from tests.support.server import Server, running_server

CLIENTS = 8
FIRST = 4_000
"""Requests until caches, pools and heaps have the size that they keep."""
ROUNDS, ROUND = 5, 4_000


@pytest.mark.slow
def test_f30_memory_stays_over_tens_of_thousands_of_requests(tmp_path: Path) -> None:
    with running_server() as server, retrieval(server, tmp_path, "f30") as models:
        chat = server.launch(model_uid="f30-chat")
        words = ["the", "cat", "sat", "on", "the", "mat"]
        bodies: list[tuple[str, dict[str, Any]]] = [
            ("/v1/embeddings", {"model": models.embedding, "input": words[:n]}) for n in range(1, 7)
        ]
        bodies += [
            ("/v1/embeddings", {"model": models.embedding, "input": "the cat " * 100}),
            ("/v1/rerank", {"model": models.rerank, "query": "where", "documents": words}),
            ("/v1/chat/completions", {"model": chat, "messages": [_said("hello there")]}),
        ]
        _send(server, bodies, FIRST)
        before = _memory(server)
        for _ in range(ROUNDS):
            _send(server, bodies, ROUND)
        grown = (_memory(server) - before) / before
    assert grown / (ROUNDS * ROUND) * 10_000 < 0.01, f"{grown:.2%} of {before >> 20} MiB"


def _said(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _memory(server: Server) -> int:
    """PSS of all of the server's processes, in bytes."""
    return sum(process.memory_full_info().pss for process in server.tree())


def _send(server: Server, bodies: list[tuple[str, dict[str, Any]]], count: int) -> None:
    """So many requests over kept connections; each has to be answered."""
    raw = [(path, json.dumps(body)) for path, body in bodies]
    host = server.url.removeprefix("http://")

    def work(client: int) -> None:
        connection = http.client.HTTPConnection(host, timeout=60)
        for number in range(client, count, CLIENTS):
            path, body = raw[number % len(raw)]
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status == 200, content[:1000]
        connection.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(work, range(CLIENTS)))
