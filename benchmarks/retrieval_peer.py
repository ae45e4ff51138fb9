"""R9: embeddings and rerank beside Xinference, on the same engine."""

from __future__ import annotations

from benchmarks.generation import cost
from benchmarks.plan import Outcome
from benchmarks.report import Figure, Row, ratios
from benchmarks.retrieval_arms import CLIENTS, ITEMS, SINGLE_ITEMS, rate, serving
from benchmarks.retrieval_transformers import subject
from benchmarks.settings import Settings
from benchmarks.xinference_server import xinference_serving

_LEVELS = {1: SINGLE_ITEMS, CLIENTS: ITEMS}
"""Clients, and the texts that they send in all."""
_GOALS = {("embedding", CLIENTS): 3.0}
_GOAL = 1.0
_REPEATS = 3


def measure(settings: Settings) -> Figure:
    """The same requests of one text each to both, by the same client; MiniLM on the engine
    sentence_transformers, in float32, with as many threads. The one that is not asked idles.

    Raises:
        CannotMeasure: a server is not there, did not start, or answered wrongly.
    """
    rows: list[Row] = []
    for kind in ("embedding", "rerank"):
        model = subject(kind)
        ours: dict[int, list[Outcome]] = {clients: [] for clients in _LEVELS}
        theirs: dict[int, list[Outcome]] = {clients: [] for clients in _LEVELS}
        with (
            xinference_serving(settings, model) as peer,
            serving(model, base64=False) as mine,
        ):
            for _ in range(settings.repeats or _REPEATS):
                for clients, count in _LEVELS.items():
                    theirs[clients].append(peer.answer(clients, count))
                    ours[clients].append(mine.answer(clients, count))
        for clients in _LEVELS:
            rows += _rows(kind, clients, ours[clients], theirs[clients])
    return Figure("R9", "Embeddings and rerank beside Xinference", rows)


def _rows(kind: str, clients: int, ours: list[Outcome], theirs: list[Outcome]) -> list[Row]:
    level = f"{kind}, 1 client" if clients == 1 else f"{kind}, {clients} clients"
    mine, peer = [rate(one) for one in ours], [rate(one) for one in theirs]
    goal = _GOALS.get((kind, clients), _GOAL)
    return [
        Row(f"{level}: ours / Xinference", "×", ratios(mine, peer), goal, at_least=True),
        Row(f"{level}: texts, ours", "/s", mine),
        Row(f"{level}: texts, Xinference", "/s", peer),
        Row(f"{level}: processor of a text, ours", "ms", [cost(one) for one in ours]),
        Row(f"{level}: processor of a text, Xinference", "ms", [cost(one) for one in theirs]),
    ]
