"""The environment with the frameworks, and a server with the models that ship."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.server import Server

_ROOT = Path(__file__).parents[2]
_PROGRAMS = Path(__file__).parent / "programs"
_WITHIN = 300.0


class Models(NamedTuple):
    """Uids."""

    chat: str
    embedding: str
    rerank: str


@pytest.fixture(scope="session")
def run_program() -> Callable[..., dict[str, Any]]:
    """Runs a program of `programs/` in the environment of the frameworks; what it printed."""
    folder = os.environ.get("XINFER_FRAMEWORKS", ".venv-frameworks")
    python = _ROOT / folder / "bin" / "python"
    assert python.exists(), f"{python} is not there: run `make frameworks`"

    def run(name: str, *arguments: str) -> dict[str, Any]:
        # None of these calls may leave for another server.
        environment = {k: v for k, v in os.environ.items() if not k.upper().endswith("_PROXY")}
        done = subprocess.run(
            [python, _PROGRAMS / name, *arguments],
            env={**environment, "LANGSMITH_TRACING": "false", "NO_PROXY": "*"},
            capture_output=True,
            text=True,
            timeout=_WITHIN,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        printed: dict[str, Any] = json.loads(done.stdout)
        return printed

    return run


@pytest.fixture(scope="session")
def models(server: Server) -> Iterator[Models]:
    made = Models("frameworks-chat", "frameworks-embed", "frameworks-rerank")
    for name, uid in zip(("tiny-chat", "tiny-embed", "tiny-rerank"), made, strict=True):
        server.launch(name, model_uid=uid)
    yield made
    for uid in made:
        server.terminate(uid)


@pytest.fixture(scope="session")
def vectors(server: Server, models: Models) -> list[list[float]]:
    """What the server gives for the texts that the programs send."""
    texts = ["my bike is broken", "cheap flights"]
    answer = server.http.post("/v1/embeddings", json={"model": models.embedding, "input": texts})
    return [one["embedding"] for one in answer.json()["data"]]
