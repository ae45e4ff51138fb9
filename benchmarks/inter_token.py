"""R4: the time between tokens, beside llama.cpp's own server."""

from __future__ import annotations

import statistics

from benchmarks.generation import PROMPT_TOKENS
from benchmarks.gguf_servers import both_servers
from benchmarks.model import prompts
from benchmarks.report import Figure, Row, ratios
from benchmarks.settings import Settings

_SLOTS = 16
_STREAMS = (1, 8, 16)
_NEW_TOKENS = 128
_REPEATS = 7
_GOAL = 1.02


def measure(settings: Settings) -> Figure:
    """Streams that begin together and none of which waits for a slot; of each the mean time
    between its tokens, of all in a repeat the median.

    Raises:
        CannotMeasure: a process did not start, or answered wrongly.
    """
    levels = settings.streams or _STREAMS
    ours: dict[int, list[float]] = {streams: [] for streams in levels}
    theirs: dict[int, list[float]] = {streams: [] for streams in levels}
    with both_servers(settings, max(_SLOTS, *levels)) as (mine, peer):
        for repeat in range(settings.repeats or _REPEATS):
            for streams in levels:
                texts = prompts(
                    streams, tokens=PROMPT_TOKENS, seed=20_000 + 1000 * streams + repeat
                )
                for server, gaps in ((peer, theirs[streams]), (mine, ours[streams])):
                    outcome = server.generate(texts, streams=streams, tokens=_NEW_TOKENS)
                    gaps.append(statistics.median(outcome.gaps) * 1e3)
    rows = []
    for streams in levels:
        named = "1 stream" if streams == 1 else f"{streams} streams"
        rows += [
            Row(
                f"{named}: ours / llama-server", "×", ratios(ours[streams], theirs[streams]), _GOAL
            ),
            Row(f"{named}: ours", "ms", ours[streams]),
            Row(f"{named}: llama-server", "ms", theirs[streams]),
        ]
    return Figure("R4", f"Time between tokens: {settings.engine}", rows)
