"""What the figures of embeddings and rerank share: the work, who does it, how it is compared."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from benchmarks.encoder import text
from benchmarks.generation import cost, rate
from benchmarks.harness import load, running_server
from benchmarks.plan import Outcome, Requests, Target
from benchmarks.report import Row, ratios
from benchmarks.settings import Settings

__all__ = ["DOCUMENT", "QUERY", "Served", "Subject", "beside_direct", "rate", "serving"]

DOCUMENT, QUERY = text(30, 1), text(8, 2)
CLIENTS = 32
MANY = 256
ITEMS, SINGLE_ITEMS = 512, 60
REPEATS = 3
_MANY_ITEMS = 768
_WARM_UP = 16
_GOAL, _LATENCY_GOAL, _TAIL_GOAL = 0.95, 1.15, 2.0


class Direct(Protocol):
    def __call__(self, batches: Sequence[int], count: int) -> Outcome:
        """Of `count` texts in process, at the batch of `batches` that was the fastest."""
        ...


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model, how it is served, and how it is called in process."""

    kind: str
    """embedding or rerank."""
    engine: str
    path: str
    options: dict[str, Any]
    """Launch options."""
    named: str
    """What is called in process."""
    batches: tuple[int, ...]
    """Those that may be the fastest."""
    direct: Direct


class Served:
    """A server with a model ready on it.

    Args:
        kind: embedding or rerank.
        model: its name there.
        watch: the server's processes, pid by role.
        base64: ask for vectors in base64, as the OpenAI SDK does.
    """

    def __init__(
        self, port: int, kind: str, model: str, watch: dict[str, int], *, base64: bool = True
    ) -> None:
        self._port = port
        self._watch = watch
        body: dict[str, Any] = {"model": model}
        if kind == "embedding":
            self._path = "/v1/embeddings"
            body |= {"input": DOCUMENT, **({"encoding_format": "base64"} if base64 else {})}
        else:
            self._path = "/v1/rerank"
            body |= {"query": QUERY, "documents": [DOCUMENT]}
        self._body = json.dumps(body).encode()

    def answer(self, clients: int, count: int) -> Outcome:
        """Have a client process send requests of one text each, `clients` at once.

        Raises:
            CannotMeasure: the server answered wrongly or not in time.
        """
        target = Target(port=self._port, path=self._path, connections=clients, watch=self._watch)
        warm_up = max(_WARM_UP, clients) if clients > 1 else 4
        return load(Requests(target=target, body=self._body, warmup=warm_up, count=count))


@contextmanager
def serving(subject: Subject, *, base64: bool = True) -> Iterator[Served]:
    """The model on a whole xinfer server."""
    with running_server() as server:
        server.wait_until_whole()
        launch: dict[str, Any] = {"model_type": subject.kind, "max_queue": MANY, **subject.options}
        uid = server.launch(subject.path, subject.engine, **launch)
        watch = {role: one.pid for role, one in server.processes().items()}
        yield Served(server.port, subject.kind, uid, watch, base64=base64)


@dataclass
class _Arms:
    """What each repeat brought."""

    ours: list[Outcome] = field(default_factory=list)
    best: list[Outcome] = field(default_factory=list)
    ours_single: list[Outcome] = field(default_factory=list)
    direct_single: list[Outcome] = field(default_factory=list)
    many: list[Outcome] = field(default_factory=list)


def beside_direct(subject: Subject, settings: Settings) -> list[Row]:
    """Many clients of the server beside the best batch in process; one client beside batches of
    one; and how evenly very many are served.

    Raises:
        CannotMeasure: a process did not start, or answered wrongly.
    """
    arms = _Arms()
    with serving(subject) as server:
        for _ in range(settings.repeats or REPEATS):
            arms.best.append(subject.direct(subject.batches, ITEMS))
            arms.ours.append(server.answer(CLIENTS, ITEMS))
            arms.direct_single.append(subject.direct([1], SINGLE_ITEMS))
            arms.ours_single.append(server.answer(1, SINGLE_ITEMS))
            arms.many.append(server.answer(MANY, _MANY_ITEMS))
    return _rows(subject, arms)


def _rows(subject: Subject, arms: _Arms) -> list[Row]:
    kind, named = subject.kind, subject.named
    ours, best = [rate(one) for one in arms.ours], [rate(one) for one in arms.best]
    single, bare = medians(arms.ours_single), medians(arms.direct_single)
    tails = [_quantile(one.latencies, 0.99) / _median(one.latencies) for one in arms.many]
    return [
        Row(f"{kind}, {CLIENTS} clients: server / {named}", "×", ratios(ours, best), _GOAL, True),
        Row(f"{kind}: texts, server", "/s", ours),
        Row(f"{kind}: texts, {named} at its best batch", "/s", best),
        Row(f"{kind}: processor of a text, server", "ms", [cost(one) for one in arms.ours]),
        Row(f"{kind}: processor of a text, {named}", "ms", [cost(one) for one in arms.best]),
        Row(f"{kind}, 1 client: latency / {named}", "×", ratios(single, bare), _LATENCY_GOAL),
        Row(f"{kind}, 1 client: latency, server", "ms", [1e3 * value for value in single]),
        Row(f"{kind}, {MANY} clients: 99 of 100 / half", "×", tails, _TAIL_GOAL),
    ]


def medians(outcomes: list[Outcome]) -> list[float]:
    """Of the latencies in each, in seconds."""
    return [_median(outcome.latencies) for outcome in outcomes]


def _median(values: list[float]) -> float:
    return statistics.median(values)


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
