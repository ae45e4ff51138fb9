"""R2: generation through the whole server, beside the engine called in process."""

from __future__ import annotations

from benchmarks.direct import Direct
from benchmarks.generation import NEW_TOKENS, beside, prompts_for
from benchmarks.gguf_servers import engine_options, our_server
from benchmarks.harness import carried_out
from benchmarks.model import model_path
from benchmarks.plan import Outcome
from benchmarks.report import Figure
from benchmarks.settings import Settings

_SLOTS = 16
_STREAMS = (1, 8, 32)
_REPEATS = 3
_GOAL = 0.95


def measure(settings: Settings) -> Figure:
    """The same prompts, and as many tokens, over HTTP and from the engine's class; the engine is
    kept full where there are more streams than it has slots.

    Raises:
        CannotMeasure: a process did not start, or answered wrongly.
    """
    levels = settings.streams or _STREAMS
    ours: dict[int, list[Outcome]] = {streams: [] for streams in levels}
    direct: dict[int, list[Outcome]] = {streams: [] for streams in levels}
    with our_server(settings, _SLOTS) as server:
        server.warm_up(_SLOTS)
        for repeat in range(settings.repeats or _REPEATS):
            for streams in levels:
                texts = prompts_for(streams, repeat=repeat)
                direct[streams].append(_direct(settings, texts, streams))
                ours[streams].append(server.generate(texts, streams=streams))
    rows = [
        row
        for streams in levels
        for row in beside(streams, ours[streams], direct[streams], named="engine", goal=_GOAL)
    ]
    return Figure("R2", f"Generation beside the engine in process: {settings.engine}", rows)


def _direct(settings: Settings, texts: list[str], streams: int) -> Outcome:
    plan = Direct(
        engine=settings.engine,
        options=engine_options(settings, _SLOTS),
        model=str(model_path()),
        prompts=texts,
        streams=streams,
        tokens=NEW_TOKENS,
    )
    return carried_out("benchmarks.direct", plan)
