"""`python -m benchmarks.direct`: an engine called in process, with nothing around it.

It reads one plan as JSON on stdin and prints one outcome on stdout.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, cast

import msgspec
import uvloop

from benchmarks.plan import Outcome
from benchmarks.window import Window
from xinfer import system
from xinfer.errors import XinferError
from xinfer.model.engine import TokenEngine, TokenEvent, TokenRequest, find_engine, parse_options
from xinfer.model.inspect.model import inspect_path
from xinfer.types.request import Constraint, Sampling

_WARM_UP_TOKENS = 4


class Direct(msgspec.Struct, frozen=True, kw_only=True):
    """Work for an engine: each prompt once, as many at once as `streams` and the engine allow."""

    engine: str
    options: dict[str, Any]
    model: str
    """Path of the file."""
    prompts: list[str]
    streams: int
    tokens: int
    schema: str | None = None
    """A JSON schema that every answer is held to, and that none is complete by."""


class WrongOutput(Exception):
    """The engine did not do what is to be measured."""


async def drive(
    engine: TokenEngine,
    steps: AsyncIterator[list[TokenEvent]],
    requests: list[TokenRequest],
    streams: int,
) -> Outcome:
    """Have the engine carry out the requests, `streams` at once.

    Raises:
        WrongOutput: it ended one early, or stopped by itself.
    """
    waiting, made = iter(requests), {request.id: 0 for request in requests}
    sent: dict[int, float] = {}
    firsts: list[float] = []
    latencies: list[float] = []
    window = Window({"engine": os.getpid()})

    def submit_next() -> None:
        request = next(waiting, None)
        if request is not None:
            sent[request.id] = time.perf_counter()
            engine.submit(request)

    window.open()
    for _ in range(streams):
        submit_next()
    async for events in steps:
        now = time.perf_counter()
        for event in events:
            if event.ids and not made[event.id]:
                firsts.append(now - sent[event.id])
            made[event.id] += len(event.ids)
            if event.finish is None:
                continue
            if event.finish != "length":
                raise WrongOutput(f"{made[event.id]} tokens, then {event.finish}: {event.failure}")
            latencies.append(now - sent[event.id])
            submit_next()
        if len(latencies) == len(requests):
            return window.close(sum(made.values()), latencies=latencies, firsts=firsts)
    raise WrongOutput("the engine stopped by itself")


async def carry_out(engine: TokenEngine, plan: Direct, streams: int) -> Outcome:
    """Warm the loaded engine up, then the work."""
    tokenizer = engine.tokenizer
    prefix = tokenizer.prompt_prefix()
    prompts = [prefix + tokenizer.encode(text, special=True) for text in plan.prompts]
    # Backwards, so that what the warm-up leaves in the KV cache is no help to the work.
    warm_up = [prompt[::-1] for prompt in prompts[:streams]]
    # As a replica does before it serves.
    gc.collect()
    gc.freeze()
    steps = cast("AsyncGenerator[list[TokenEvent], None]", engine.steps())
    async with aclosing(steps):
        await drive(engine, steps, _requests(plan, warm_up, _WARM_UP_TOKENS, first_id=0), streams)
        work = _requests(plan, prompts, plan.tokens, first_id=len(warm_up))
        return await drive(engine, steps, work, streams)


def _requests(
    plan: Direct, prompts: list[list[int]], tokens: int, first_id: int
) -> list[TokenRequest]:
    schema = plan.schema
    constraint = None if schema is None else Constraint("json_schema", schema)
    sampling = Sampling(temperature=0.0, ignore_eos=constraint is None)
    return [
        TokenRequest(
            id=number,
            prompt=prompt,
            max_tokens=tokens,
            sampling=sampling,
            constraint=constraint,
        )
        for number, prompt in enumerate(prompts, first_id)
    ]


def measure(plan: Direct) -> Outcome:
    """Load the engine and let it work.

    Raises:
        XinferError: it cannot load the model.
        WrongOutput: it did not make what was asked for.
    """
    name, kind = find_engine(plan.engine)
    engine = kind(inspect_path(plan.model), parse_options(kind, name, plan.options))
    loaded = engine.load(lambda progress: None)
    assert isinstance(engine, TokenEngine)
    try:
        return uvloop.run(carry_out(engine, plan, min(plan.streams, loaded.concurrency)))
    finally:
        engine.close()


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Direct)
    try:
        outcome = measure(plan)
    except (WrongOutput, XinferError) as error:
        sys.exit(f"benchmarks.direct: {error}")
    system.write_all(sys.stdout.fileno(), msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()
