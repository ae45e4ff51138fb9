"""`python -m benchmarks.direct_encode`: an encode engine called in process, with nothing around it.

It reads one plan as JSON on stdin and prints one outcome on stdout.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from typing import Any

import msgspec

from benchmarks.plan import Outcome
from benchmarks.window import Window
from xinfer import system
from xinfer.errors import XinferError
from xinfer.model.encode_engine import EncodeEngine, Item, Pair
from xinfer.model.engine import find_engine, parse_options
from xinfer.model.inspect.model import inspect_path


class DirectEncode(msgspec.Struct, frozen=True, kw_only=True):
    """Work for an encode engine: one text, computed `count` times, in batches of `batch`."""

    engine: str
    options: dict[str, Any]
    model: str
    """Path of the file."""
    text: str
    query: str | None = None
    batch: int
    count: int


class WrongResult(Exception):
    """The engine did not do what is to be measured."""


def encode(engine: EncodeEngine, item: Item, *, batch: int, count: int) -> Outcome:
    """Tokenize and compute, one batch after the other; a latency is a batch's.

    Raises:
        WrongResult: a text had no result.
    """
    window = Window({"engine": os.getpid()})
    latencies = []
    window.open()
    done = 0
    while done < count:
        began = time.perf_counter()
        for result in engine.encode(engine.tokenize([item] * batch)):
            if isinstance(result, XinferError):
                raise WrongResult(result.message)
        latencies.append(time.perf_counter() - began)
        done += batch
    return window.close(done, latencies=latencies)


def measure(plan: DirectEncode) -> Outcome:
    """Load the engine, let it work a little, then measure.

    Raises:
        XinferError: it cannot load the model.
        WrongResult: it did not make what was asked for.
    """
    name, kind = find_engine(plan.engine)
    engine = kind(inspect_path(plan.model), parse_options(kind, name, plan.options))
    engine.load(lambda progress: None)
    assert isinstance(engine, EncodeEngine)
    item = plan.text if plan.query is None else Pair(plan.query, plan.text)
    try:
        encode(engine, item, batch=plan.batch, count=plan.batch)
        # As a replica does before it serves.
        gc.collect()
        gc.freeze()
        return encode(engine, item, batch=plan.batch, count=plan.count)
    finally:
        engine.close()


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=DirectEncode)
    try:
        outcome = measure(plan)
    except (WrongResult, XinferError) as error:
        sys.exit(f"benchmarks.direct_encode: {error}")
    system.write_all(sys.stdout.fileno(), msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()
