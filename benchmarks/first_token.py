"""R3: the time to the first token, beside llama.cpp's own server."""

from __future__ import annotations

import statistics

from benchmarks.generation import PROMPT_TOKENS, Server
from benchmarks.gguf_servers import both_servers
from benchmarks.model import prompts
from benchmarks.report import Figure, Row
from benchmarks.settings import Settings

_SLOTS = 16
_BLOCKS = 30
_SAMPLES = 10
_NEW_TOKENS = 2
_GOAL_P50 = 2.0
_GOAL_P99 = 5.0


def measure(settings: Settings) -> Figure:
    """One stream, in blocks of requests that take turns between the two; 300 samples of each,
    for a hundredth of fewer is an accident. Of the median, the difference in each pair of blocks.

    Raises:
        CannotMeasure: a process did not start, or answered wrongly.
    """
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    with both_servers(settings, _SLOTS) as (mine, peer):
        for block in range(_BLOCKS):
            # The first answer of a client process is its warm-up.
            texts = prompts(_SAMPLES + 1, tokens=PROMPT_TOKENS, seed=10_000 + block)
            theirs.append(_milliseconds(peer, texts))
            ours.append(_milliseconds(mine, texts))
    added = [statistics.median(a) - statistics.median(b) for a, b in zip(ours, theirs, strict=True)]
    rows = [
        Row("added, p50", "ms", added, _GOAL_P50),
        Row("added, p99", "ms", [p99(ours) - p99(theirs)], _GOAL_P99),
        Row("p50, ours", "ms", [statistics.median(block) for block in ours]),
        Row("p50, llama-server", "ms", [statistics.median(block) for block in theirs]),
        Row("p99, ours", "ms", [p99(ours)]),
        Row("p99, llama-server", "ms", [p99(theirs)]),
    ]
    return Figure("R3", f"Time to the first token at one stream: {settings.engine}", rows)


def _milliseconds(server: Server, texts: list[str]) -> list[float]:
    outcome = server.generate(texts, streams=1, tokens=_NEW_TOKENS)
    return [seconds * 1e3 for seconds in outcome.firsts[1:]]


def p99(blocks: list[list[float]]) -> float:
    """Of all samples together: the least that 99 % of them do not exceed."""
    samples = sorted(sample for block in blocks for sample in block)
    return samples[-(-99 * len(samples) // 100) - 1]
