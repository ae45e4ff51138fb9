"""R8: embeddings and rerank through the whole server, beside the engine called in process."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.direct_encode import DirectEncode
from benchmarks.encoder import encoder_path, text
from benchmarks.generation import cost, rate
from benchmarks.harness import carried_out, load, running_server
from benchmarks.plan import Outcome, Requests, Target
from benchmarks.report import Figure, Row, ratios
from benchmarks.settings import Settings

# One thread computes, so that client and server have a core beside it.
_OPTIONS = {"n_threads": 1, "n_ctx": 512}
_WORDS = 30
_BATCHES = (8, 32, 64)
"""The engine computes 512 tokens at once by default: larger ones take turns inside of it."""
_CLIENTS, _MANY = 32, 256
_ITEMS, _MANY_ITEMS, _SINGLE_ITEMS = 512, 768, 60
_WARM_UP = 16
_REPEATS = 3
_GOAL, _LATENCY_GOAL, _TAIL_GOAL = 0.95, 1.15, 2.0
_ENGINES = {"embedding": "llama-cpp-embedding", "rerank": "llama-cpp-rerank"}
_DOCUMENT, _QUERY = text(_WORDS, 1), text(8, 2)


@dataclass
class _Arms:
    """What each repeat brought for one type of model."""

    ours: list[Outcome] = field(default_factory=list)
    best: list[Outcome] = field(default_factory=list)
    """Of the engine in process, at the batch that was the fastest."""
    ours_single: list[Outcome] = field(default_factory=list)
    direct_single: list[Outcome] = field(default_factory=list)
    many: list[Outcome] = field(default_factory=list)


def measure(settings: Settings) -> Figure:
    """Requests of one text each, from many clients, beside the best that batches of that text can
    come to in process; then one client alone.

    Raises:
        CannotMeasure: a process did not start, or answered wrongly.
    """
    rows: list[Row] = []
    for kind in _ENGINES:
        arms = _Arms()
        with _serving(kind) as (port, watch):
            for _ in range(settings.repeats or _REPEATS):
                tried = [_direct(kind, batch=batch, count=_ITEMS) for batch in _BATCHES]
                arms.best.append(max(tried, key=rate))
                arms.ours.append(_served(kind, port, watch, _CLIENTS, _ITEMS))
                arms.direct_single.append(_direct(kind, batch=1, count=_SINGLE_ITEMS))
                arms.ours_single.append(_served(kind, port, watch, 1, _SINGLE_ITEMS))
                arms.many.append(_served(kind, port, watch, _MANY, _MANY_ITEMS))
        rows += _rows(kind, arms)
    return Figure("R8", "Embeddings and rerank beside the engine in process", rows)


@contextmanager
def _serving(kind: str) -> Iterator[tuple[int, dict[str, int]]]:
    with running_server() as server:
        server.wait_until_whole()
        launch: dict[str, Any] = {"model_uid": kind, "max_queue": _MANY, **_OPTIONS}
        server.launch(str(encoder_path(kind)), _ENGINES[kind], **launch)
        yield server.port, {role: one.pid for role, one in server.processes().items()}


def _served(kind: str, port: int, watch: dict[str, int], clients: int, count: int) -> Outcome:
    body: dict[str, Any]
    if kind == "embedding":
        path, body = "/v1/embeddings", {"input": _DOCUMENT, "encoding_format": "base64"}
    else:
        path, body = "/v1/rerank", {"query": _QUERY, "documents": [_DOCUMENT]}
    target = Target(port=port, path=path, connections=clients, watch=watch)
    whole = json.dumps({"model": kind, **body}).encode()
    warm_up = max(_WARM_UP, clients) if clients > 1 else 4
    return load(Requests(target=target, body=whole, warmup=warm_up, count=count))


def _direct(kind: str, *, batch: int, count: int) -> Outcome:
    plan = DirectEncode(
        engine=_ENGINES[kind],
        options=_OPTIONS,
        model=str(encoder_path(kind)),
        text=_DOCUMENT,
        query=_QUERY if kind == "rerank" else None,
        batch=batch,
        count=count,
    )
    return carried_out("benchmarks.direct_encode", plan)


def _rows(kind: str, arms: _Arms) -> list[Row]:
    ours, best = [rate(one) for one in arms.ours], [rate(one) for one in arms.best]
    single, bare = _medians(arms.ours_single), _medians(arms.direct_single)
    tails = [_quantile(one.latencies, 0.99) / _median(one.latencies) for one in arms.many]
    return [
        Row(f"{kind}, {_CLIENTS} clients: server / engine", "×", ratios(ours, best), _GOAL, True),
        Row(f"{kind}: texts, server", "/s", ours),
        Row(f"{kind}: texts, engine at its best batch", "/s", best),
        Row(f"{kind}: processor of a text, server", "ms", [cost(one) for one in arms.ours]),
        Row(f"{kind}: processor of a text, engine", "ms", [cost(one) for one in arms.best]),
        Row(f"{kind}, 1 client: latency / engine", "×", ratios(single, bare), _LATENCY_GOAL),
        Row(f"{kind}, 1 client: latency, server", "ms", [1e3 * value for value in single]),
        Row(f"{kind}, {_MANY} clients: 99 of 100 / half", "×", tails, _TAIL_GOAL),
    ]


def _medians(outcomes: list[Outcome]) -> list[float]:
    return [_median(outcome.latencies) for outcome in outcomes]


def _median(values: list[float]) -> float:
    return statistics.median(values)


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
