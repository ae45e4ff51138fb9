"""Loads a model, has it answer one request that fills its context, and prints the memory taken.

Arguments: directory, options as JSON. Printed: bytes that the process grew by, beside the library.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from xinfer.model.engine import TokenRequest, parse_options
from xinfer.model.inspect.model import inspect_path
from xinfer.model.llm.transformers.engine import TransformersEngine


def resident() -> int:
    """Bytes of this process that are in memory, mapped files included."""
    with open("/proc/self/smaps_rollup") as lines:
        for line in lines:
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
    raise AssertionError("the kernel tells no memory of a process")


async def answered(engine: TransformersEngine, tokens: int) -> None:
    engine.submit(TokenRequest(id=1, prompt=[5] * (tokens - 1), max_tokens=1))
    async for events in engine.steps():
        for event in events:
            if event.finish is not None:
                assert event.failure is None, event
                return


def main() -> None:
    path, options = sys.argv[1:]
    import transformers
    from transformers import AutoModelForCausalLM

    assert transformers.__version__
    assert AutoModelForCausalLM
    before = resident()
    chosen = parse_options(TransformersEngine, "transformers", json.loads(options))
    assert isinstance(chosen, TransformersEngine.options())
    engine = TransformersEngine(inspect_path(path), chosen)  # type: ignore[arg-type]
    loaded = engine.load(lambda _: None)
    asyncio.run(answered(engine, loaded.context_length))
    print(resident() - before, flush=True)
    os._exit(0)


main()
