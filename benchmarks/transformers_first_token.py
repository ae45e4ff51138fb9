"""R3 on Transformers: the time to the first token, beside a call of the model in process."""

from __future__ import annotations

import statistics

from benchmarks.direct import Direct
from benchmarks.first_token import p99
from benchmarks.generation import PROMPT_TOKENS, Server
from benchmarks.harness import carried_out, running_server
from benchmarks.model import prompts
from benchmarks.report import Figure, Row
from benchmarks.settings import Settings
from benchmarks.transformers_generation import OPTIONS
from benchmarks.transformers_model import model_directory

_BLOCKS = 10
_SAMPLES = 20
_NEW_TOKENS = 2
_GOAL = 5.0


def measure(settings: Settings) -> Figure:
    """One stream, in blocks of prompts that take turns between the two; of the median, the
    difference in each pair of blocks.

    Raises:
        CannotMeasure: a process did not start, or answered wrongly.
    """
    ours: list[list[float]] = []
    direct: list[list[float]] = []
    options = {**OPTIONS, **settings.engine_options}
    with running_server() as running:
        running.wait_until_whole()
        uid = running.launch(str(model_directory()), "transformers", **options)
        watch = {role: process.pid for role, process in running.processes().items()}
        server = Server(running.port, uid, watch)
        for block in range(settings.repeats or _BLOCKS):
            # The first answer of a process is its warm-up.
            texts = prompts(_SAMPLES + 1, tokens=PROMPT_TOKENS, seed=20_000 + block)
            plan = Direct(
                engine="transformers",
                options={"n_threads": options["n_threads"]},
                model=str(model_directory()),
                prompts=texts,
                streams=1,
                tokens=1,
            )
            direct.append(_milliseconds(carried_out("benchmarks.direct_prefill", plan).firsts))
            outcome = server.generate(texts, streams=1, tokens=_NEW_TOKENS)
            ours.append(_milliseconds(outcome.firsts))
    added = [statistics.median(a) - statistics.median(b) for a, b in zip(ours, direct, strict=True)]
    rows = [
        Row("added, p50", "ms", added, _GOAL),
        Row("p50, server", "ms", [statistics.median(block) for block in ours]),
        Row("p50, in process", "ms", [statistics.median(block) for block in direct]),
        Row("p99, server", "ms", [p99(ours)]),
        Row("p99, in process", "ms", [p99(direct)]),
    ]
    return Figure("R3T", "Time to the first token beside a call of the model", rows)


def _milliseconds(firsts: list[float]) -> list[float]:
    return [seconds * 1e3 for seconds in firsts[1:]]
