"""LangChain's classes for Xinference and for OpenAI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.frameworks.conftest import Models
from tests.support.server import Server


@pytest.fixture(scope="module")
def got(
    run_program: Callable[..., dict[str, Any]], server: Server, models: Models
) -> dict[str, Any]:
    return run_program("langchain_calls.py", server.url, models.chat, models.embedding)


def test_xinference_embeddings_are_the_servers(
    got: dict[str, Any], vectors: list[list[float]]
) -> None:
    np.testing.assert_allclose(got["documents"], vectors, atol=1e-5)
    np.testing.assert_allclose(got["query"], vectors[0], atol=1e-5)


def test_openai_embeddings_are_the_servers(got: dict[str, Any], vectors: list[list[float]]) -> None:
    np.testing.assert_allclose(got["openai_documents"], vectors, atol=1e-5)
    np.testing.assert_allclose(got["openai_query"], vectors[0], atol=1e-5)


def test_xinference_llm_invokes_and_streams_the_same_text(
    got: dict[str, Any], server: Server, models: Models
) -> None:
    body = {"prompt": "Once upon a time", "max_tokens": 12, "temperature": 0}
    answer = server.http.post("/v1/completions", json={"model": models.chat, **body})
    assert got["invoked"] == answer.json()["choices"][0]["text"] != ""
    assert len(got["streamed"]) > 1
    assert "".join(got["streamed"]) == got["invoked"]


def test_an_agent_calls_its_tool_and_answers_with_what_it_said(got: dict[str, Any]) -> None:
    assert got["asked"] == ["Paris"]
    assert [kind for kind, _ in got["steps"]] == ["human", "ai", "tool", "ai"]
    assert got["steps"][2][1] == '{"sky": "clear"}'
    assert "clear" in got["steps"][3][1]
    assert got["usage"]["output_tokens"] > 0
