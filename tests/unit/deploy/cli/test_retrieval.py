"""`embed` and `rerank`: texts as arguments and through a pipe."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

EMBED = "POST /v1/embeddings"
RERANK = "POST /v1/rerank"


@pytest.fixture
def embedder(server: Any) -> Any:
    server.on("GET /v1/models/m", {"model_type": "embedding"})
    data = [{"index": i, "embedding": vector} for i, vector in enumerate([[1, 0], [0, 1], [3, 4]])]
    server.on(EMBED, {"data": data, "usage": {"total_tokens": 3}})
    return server


@pytest.fixture
def reranker(server: Any) -> Any:
    server.on("GET /v1/models/m", {"model_type": "rerank"})
    results = [{"index": 1, "relevance_score": 0.75}, {"index": 0, "relevance_score": 0.5}]
    server.on(RERANK, {"results": results})
    return server


def test_lines_become_vectors_a_line_each(embedder: Any, xinference: Callable[..., Result]) -> None:
    result = xinference("embed", "-u", "m", "--dimensions", "2", stdin="a\n\nb b\nc\n")
    assert (result.exit_code, result.stdout) == (0, "[1, 0]\n[0, 1]\n[3, 4]\n")
    assert embedder.bodies(EMBED) == [{"model": "m", "input": ["a", "b b", "c"], "dimensions": 2}]


def test_at_a_terminal_several_texts_are_compared(
    embedder: Any, xinference: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xinfer.deploy.cli.retrieval._at_terminal", lambda: True)
    lines = xinference("embed", "-u", "m", "a", "b", "c").stdout.splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["0.8", "b", "c"],
        ["0.6", "a", "c"],
        ["0.0", "a", "b"],
    ]


def test_json_is_the_whole_answer(embedder: Any, xinference: Callable[..., Result]) -> None:
    result = xinference("embed", "-u", "m", "--json", "a")
    assert json.loads(result.stdout)["usage"] == {"total_tokens": 3}


def test_documents_are_printed_best_first(reranker: Any, xinference: Callable[..., Result]) -> None:
    result = xinference("rerank", "-u", "m", "--top-n", "2", "q", "one", "x" * 60)
    assert [line.split() for line in result.stdout.splitlines()[2:]] == [
        ["0.7500", "x" * 49 + "…"],
        ["0.5000", "one"],
    ]
    (body,) = reranker.bodies(RERANK)
    assert (body["query"], body["documents"], body["top_n"]) == ("q", ["one", "x" * 60], 2)


def test_documents_come_from_a_pipe_as_well(
    reranker: Any, xinference: Callable[..., Result]
) -> None:
    assert xinference("rerank", "-u", "m", "q", stdin="one\ntwo\n").exit_code == 0
    assert reranker.bodies(RERANK)[0]["documents"] == ["one", "two"]


def test_a_model_of_another_type_and_no_text_are_refused(
    reranker: Any, xinference: Callable[..., Result]
) -> None:
    other = xinference("embed", "-u", "m", "a")
    assert (other.exit_code, other.stderr.count("\n")) == (1, 1)
    assert "does not embed" in other.stderr
    nothing = xinference("rerank", "-u", "m", "q", stdin="\n")
    assert nothing.exit_code == 2
    assert "no text on the standard input" in nothing.stderr
