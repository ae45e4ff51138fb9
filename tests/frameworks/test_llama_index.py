"""LlamaIndex's classes for Xinference."""

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
    return run_program("llama_index_calls.py", server.url, models.embedding, models.rerank)


def test_embeddings_are_the_servers(got: dict[str, Any], vectors: list[list[float]]) -> None:
    np.testing.assert_allclose(got["documents"], vectors, atol=1e-5)
    np.testing.assert_allclose(got["together"], vectors, atol=1e-5)
    np.testing.assert_allclose(got["query"], vectors[0], atol=1e-5)


def test_the_postprocessor_keeps_the_most_relevant_nodes(
    got: dict[str, Any], server: Server, models: Models
) -> None:
    documents = ["cheap flights", "how to mend a bicycle", "a soup of lentils"]
    answer = server.http.post(
        "/v1/rerank",
        json={"model": models.rerank, "query": "my bike is broken", "documents": documents},
    )
    ranked = [
        [documents[one["index"]], pytest.approx(one["relevance_score"], abs=1e-5)]
        for one in answer.json()["results"]
    ]
    assert got["ranked"] == ranked[:2]
    assert got["ranked"][0][0] == "how to mend a bicycle"
