"""R8T: embeddings and rerank through the whole server, beside sentence-transformers in process."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.direct_sentence_transformers import DirectLibrary
from benchmarks.harness import carried_out
from benchmarks.plan import Outcome
from benchmarks.report import Figure, Row
from benchmarks.retrieval_arms import DOCUMENT, QUERY, Subject, beside_direct
from benchmarks.sentence_transformers_model import model_directory
from benchmarks.settings import Settings

_THREADS = 1
"""One computes, so that client and server have a core beside it."""
_CALLS = {"embedding": "encode", "rerank": "predict"}


def measure(settings: Settings) -> Figure:
    """As R8, on MiniLM; in process the library's own call is given as many texts at once.

    Raises:
        CannotMeasure: a process did not start, or answered wrongly.
    """
    rows: list[Row] = []
    for kind in _CALLS:
        rows += beside_direct(subject(kind), settings)
    return Figure("R8T", "Embeddings and rerank beside sentence-transformers in process", rows)


def subject(kind: str) -> Subject:
    """MiniLM as an embedding or a rerank model."""
    path = str(model_directory(kind))

    def direct(batches: Sequence[int], count: int) -> Outcome:
        plan = DirectLibrary(
            model=path,
            threads=_THREADS,
            text=DOCUMENT,
            query=QUERY if kind == "rerank" else None,
            batches=list(batches),
            count=count,
        )
        return carried_out("benchmarks.direct_sentence_transformers", plan)

    return Subject(
        kind=kind,
        engine="sentence_transformers",
        path=path,
        options={"n_threads": _THREADS, "device": "cpu"},
        named=_CALLS[kind],
        batches=(8, 16, 32, 64),
        direct=direct,
    )
