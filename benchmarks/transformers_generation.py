"""R2 on Transformers: generation through the whole server, beside `generate` in process."""

from __future__ import annotations

from typing import Any

from benchmarks.direct import Direct
from benchmarks.generation import NEW_TOKENS, Server, beside, prompts_for
from benchmarks.harness import carried_out, running_server
from benchmarks.plan import Outcome
from benchmarks.report import Figure
from benchmarks.settings import Settings
from benchmarks.transformers_model import model_directory

_SLOTS = 32
_STREAMS = (1, 8, 32)
_REPEATS = 3
_GOAL = 0.95
# One thread computes, so that client and server have a core beside it.
OPTIONS: dict[str, Any] = {
    "n_threads": 1,
    "max_model_len": 512,
    "max_num_seqs": _SLOTS,
    "torch_dtype": "float32",
}


def measure(settings: Settings) -> Figure:
    """The same prompts, and as many tokens: over HTTP, each request by itself, and in one padded
    batch, which all begin and end together: the best that Transformers can do with them.

    Raises:
        CannotMeasure: a process did not start, or answered wrongly.
    """
    levels = settings.streams or _STREAMS
    ours: dict[int, list[Outcome]] = {streams: [] for streams in levels}
    direct: dict[int, list[Outcome]] = {streams: [] for streams in levels}
    options = {**OPTIONS, **settings.engine_options}
    with running_server() as running:
        running.wait_until_whole()
        uid = running.launch(str(model_directory()), "transformers", max_queue=_SLOTS, **options)
        watch = {role: process.pid for role, process in running.processes().items()}
        server = Server(running.port, uid, watch)
        server.warm_up(_SLOTS)
        for repeat in range(settings.repeats or _REPEATS):
            for streams in levels:
                texts = prompts_for(streams, repeat=repeat)
                direct[streams].append(_direct(texts, streams))
                ours[streams].append(server.generate(texts, streams=streams))
    rows = [
        row
        for streams in levels
        for row in beside(streams, ours[streams], direct[streams], named="generate", goal=_GOAL)
    ]
    return Figure("R2T", "Generation beside Transformers' generate in process", rows)


def _direct(texts: list[str], streams: int) -> Outcome:
    plan = Direct(
        engine="transformers",
        options={"n_threads": OPTIONS["n_threads"]},
        model=str(model_directory()),
        prompts=texts,
        streams=streams,
        tokens=NEW_TOKENS,
    )
    return carried_out("benchmarks.direct_generate", plan)
