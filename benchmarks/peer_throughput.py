"""R1: generation through the whole server, beside llama.cpp's own."""

from __future__ import annotations

from benchmarks.generation import cost, prompts_for, rate
from benchmarks.gguf_servers import both_servers
from benchmarks.plan import Outcome
from benchmarks.report import Figure, Row, ratios
from benchmarks.settings import Settings

_SLOTS = (16, 64)
_STREAMS = (1, 8, 32, 128)
_REPEATS = 3
_GOAL = 0.97


def measure(settings: Settings) -> Figure:
    """The same prompts to both, by the same client, read as a stream.

    Raises:
        CannotMeasure: a process did not start, or answered wrongly.
    """
    rows = []
    levels = settings.streams or _STREAMS
    for slots in _SLOTS:
        ours: dict[int, list[Outcome]] = {streams: [] for streams in levels}
        theirs: dict[int, list[Outcome]] = {streams: [] for streams in levels}
        with both_servers(settings, slots) as (mine, peer):
            for repeat in range(settings.repeats or _REPEATS):
                for streams in levels:
                    texts = prompts_for(streams, repeat=repeat)
                    theirs[streams].append(peer.generate(texts, streams=streams))
                    ours[streams].append(mine.generate(texts, streams=streams))
        for streams in levels:
            rows += _rows(f"{slots} slots, {streams}", ours[streams], theirs[streams])
    return Figure("R1", f"Tokens a second beside llama-server, by streams: {settings.engine}", rows)


def _rows(named: str, ours: list[Outcome], theirs: list[Outcome]) -> list[Row]:
    mine, peer = [rate(outcome) for outcome in ours], [rate(outcome) for outcome in theirs]
    return [
        Row(f"{named}: ours / llama-server", "×", ratios(mine, peer), _GOAL, at_least=True),
        Row(f"{named}: tokens, ours", "/s", mine),
        Row(f"{named}: tokens, llama-server", "/s", peer),
        Row(f"{named}: processor of a token, ours", "ms", [cost(o) for o in ours]),
        Row(f"{named}: processor of a token, llama-server", "ms", [cost(o) for o in theirs]),
    ]
