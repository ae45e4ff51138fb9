"""R8: embeddings and rerank through the whole server, beside the engine called in process."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.direct_encode import DirectEncode
from benchmarks.encoder import encoder_path
from benchmarks.harness import carried_out
from benchmarks.plan import Outcome
from benchmarks.report import Figure
from benchmarks.retrieval_arms import DOCUMENT, QUERY, Subject, beside_direct, rate
from benchmarks.settings import Settings

# One thread computes, so that client and server have a core beside it.
_OPTIONS = {"n_threads": 1, "n_ctx": 512}
_ENGINES = {"embedding": "llama-cpp-embedding", "rerank": "llama-cpp-rerank"}


def measure(settings: Settings) -> Figure:
    """Requests of one text each, from many clients, beside the best that batches of that text can
    come to in process; then one client alone.

    Raises:
        CannotMeasure: a process did not start, or answered wrongly.
    """
    rows = [row for kind in _ENGINES for row in beside_direct(_subject(kind), settings)]
    return Figure("R8", "Embeddings and rerank beside the engine in process", rows)


def _subject(kind: str) -> Subject:
    path = str(encoder_path(kind))

    def direct(batches: Sequence[int], count: int) -> Outcome:
        plans = [
            DirectEncode(
                engine=_ENGINES[kind],
                options=_OPTIONS,
                model=path,
                text=DOCUMENT,
                query=QUERY if kind == "rerank" else None,
                batch=batch,
                count=count,
            )
            for batch in batches
        ]
        return max((carried_out("benchmarks.direct_encode", plan) for plan in plans), key=rate)

    return Subject(
        kind=kind,
        engine=_ENGINES[kind],
        path=path,
        options=_OPTIONS,
        named="engine",
        batches=(8, 32, 64),  # it computes 512 tokens at once: larger ones take turns inside of it
        direct=direct,
    )
