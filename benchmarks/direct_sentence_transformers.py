"""`python -m benchmarks.direct_sentence_transformers`: its own calls, with nothing around them.

It reads one plan as JSON on stdin and prints one outcome on stdout.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks.generation import rate
from benchmarks.plan import Outcome
from benchmarks.window import Window
from xinfer import system


class DirectLibrary(msgspec.Struct, frozen=True, kw_only=True):
    """Work for sentence-transformers: one text, `count` times for each of `batches`."""

    model: str
    threads: int
    text: str
    query: str | None = None
    """Where it is given, the text is a document to be scored for it."""
    batches: list[int]
    count: int


def repeated(call: Callable[[int], Any], *, batch: int, count: int) -> Outcome:
    """Call with a batch until there are enough; a latency is a batch's."""
    window = Window({"engine": os.getpid()})
    latencies = []
    window.open()
    done = 0
    while done < count:
        began = time.perf_counter()
        call(batch)
        latencies.append(time.perf_counter() - began)
        done += batch
    return window.close(done, latencies=latencies)


def measure(plan: DirectLibrary) -> Outcome:
    """The outcome of the batch that was the fastest."""
    import torch

    torch.set_num_threads(plan.threads)
    call = _call(plan)
    for _ in range(2):
        call(plan.batches[0])
    return max((repeated(call, batch=batch, count=plan.count) for batch in plan.batches), key=rate)


def _call(plan: DirectLibrary) -> Callable[[int], Any]:
    from sentence_transformers import CrossEncoder, SentenceTransformer

    if plan.query is None:
        embedding = SentenceTransformer(plan.model, device="cpu", local_files_only=True)
        return lambda batch: embedding.encode(
            [plan.text] * batch, batch_size=batch, show_progress_bar=False
        )
    pair = (plan.query, plan.text)
    rerank = CrossEncoder(plan.model, device="cpu", local_files_only=True)
    return lambda batch: rerank.predict([pair] * batch, batch_size=batch, show_progress_bar=False)


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=DirectLibrary)
    outcome = measure(plan)
    system.write_all(sys.stdout.fileno(), msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()
