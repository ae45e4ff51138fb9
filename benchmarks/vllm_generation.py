"""R2 on vLLM: generation through the whole server, beside `AsyncLLM` in process."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from benchmarks.direct import Direct
from benchmarks.generation import NEW_TOKENS, PROMPT_TOKENS, Server, beside, prompts_for
from benchmarks.harness import CannotMeasure, running_server
from benchmarks.model import prompts
from benchmarks.plan import Outcome
from benchmarks.report import Figure, Row
from benchmarks.settings import Settings
from benchmarks.transformers_model import model_directory

_SLOTS = 32
_STREAMS = (1, 8, 32)
_REPEATS = 3
_GOAL = 0.95
_BLOCKS = 10
_SAMPLES = 10
_FIRST_TOKENS = 2
_FIRST_GOAL = 5.0
_LEAVE_WITHIN = 30.0
# One thread computes, so that client and server have a core beside it.
_OPTIONS: dict[str, Any] = {
    "n_threads": 1,
    "max_model_len": 512,
    "max_num_seqs": _SLOTS,
    "kv_cache_memory_bytes": 1 << 30,
    "dtype": "float32",
}


class DirectProcess:
    """vLLM in a process of its own, which carries out one plan after the other."""

    def __init__(self, process: subprocess.Popen[bytes], options: dict[str, Any]) -> None:
        self._process = process
        self._options = options

    def generate(self, texts: list[str], *, streams: int, tokens: int = NEW_TOKENS) -> Outcome:
        """
        Raises:
            CannotMeasure: it ended instead.
        """
        plan = Direct(
            engine="vllm",
            options=self._options,
            model=str(model_directory()),
            prompts=texts,
            streams=streams,
            tokens=tokens,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(msgspec.json.encode(plan) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise CannotMeasure("vLLM in process ended; its log is above.") from None
        for line in self._process.stdout:
            if line.startswith(b"{"):
                return msgspec.json.decode(line, type=Outcome)
        raise CannotMeasure("vLLM in process ended; its log is above.")


@contextmanager
def running_direct(options: dict[str, Any]) -> Iterator[DirectProcess]:
    """Until the end of the block."""
    command = [sys.executable, "-m", "benchmarks.direct_vllm"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield DirectProcess(process, options)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(_LEAVE_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def measure(settings: Settings) -> Figure:
    """The same prompts, and as many tokens: over HTTP, and from vLLM's `generate`, as many at once.

    Raises:
        CannotMeasure: a process did not start, or answered wrongly.
    """
    levels = settings.streams or _STREAMS
    ours: dict[int, list[Outcome]] = {streams: [] for streams in levels}
    direct: dict[int, list[Outcome]] = {streams: [] for streams in levels}
    options = {**_OPTIONS, **settings.engine_options}
    with running_server() as running, running_direct(options) as process:
        running.wait_until_whole()
        process.generate(prompts_for(_SLOTS, repeat=-1), streams=_SLOTS, tokens=4)
        uid = running.launch(str(model_directory()), "vllm", max_queue=_SLOTS, **options)
        watch = {role: process.pid for role, process in running.processes().items()}
        server = Server(running.port, uid, watch)
        server.warm_up(_SLOTS)
        for repeat in range(settings.repeats or _REPEATS):
            for streams in levels:
                texts = prompts_for(streams, repeat=repeat)
                direct[streams].append(process.generate(texts, streams=streams))
                ours[streams].append(server.generate(texts, streams=streams))
        firsts = _first_tokens(server, process)
    rows = [
        row
        for streams in levels
        for row in beside(streams, ours[streams], direct[streams], named="AsyncLLM", goal=_GOAL)
    ]
    return Figure("R2V", "Generation beside vLLM's AsyncLLM in process", [*rows, *firsts])


def _first_tokens(server: Server, process: DirectProcess) -> list[Row]:
    """One stream, in blocks that take turns."""
    ours, direct = [], []
    for block in range(_BLOCKS):
        # The first answer of a client process is its warm-up.
        texts = prompts(_SAMPLES + 1, tokens=PROMPT_TOKENS, seed=10_000 + block)
        direct.append(_milliseconds(process.generate(texts, streams=1, tokens=_FIRST_TOKENS)))
        ours.append(_milliseconds(server.generate(texts, streams=1, tokens=_FIRST_TOKENS)))
    added = [a - b for a, b in zip(ours, direct, strict=True)]
    return [
        Row("first token, added", "ms", added, _FIRST_GOAL),
        Row("first token, server", "ms", ours),
        Row("first token, AsyncLLM", "ms", direct),
    ]


def _milliseconds(outcome: Outcome) -> float:
    return statistics.median(outcome.firsts[1:]) * 1e3
