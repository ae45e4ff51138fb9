"""`python -m benchmarks.direct_vllm`: vLLM's own `AsyncLLM`, with nothing around it.

It reads plans on stdin, one as JSON a line, the first of which says what is loaded, and prints an
outcome for each on a line of stdout.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import psutil
import uvloop

from benchmarks.direct import Direct
from benchmarks.plan import Outcome
from benchmarks.window import Window
from xinfer import system
from xinfer.model.engine import parse_options
from xinfer.model.inspect.model import inspect_path
from xinfer.model.llm.vllm.arguments import engine_arguments
from xinfer.model.llm.vllm.engine import VllmEngine
from xinfer.model.llm.vllm.options import VllmOptions
from xinfer.model.vllm.arguments import environment
from xinfer.model.vllm.records import Records


class DirectLoad:
    """One plan being carried out: as many streams at once as it says."""

    def __init__(self, llm: Any, plan: Direct, prompts: list[list[int]]) -> None:
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        self._llm = llm
        self._plan = plan
        self._prompts = iter(enumerate(prompts))
        self._params = SamplingParams(
            temperature=0.0,
            max_tokens=plan.tokens,
            ignore_eos=True,
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
        )
        self._made = 0
        self._firsts: list[float] = []
        self._latencies: list[float] = []

    async def run(self) -> Outcome:
        own = psutil.Process()
        watch = {str(one.pid): one.pid for one in [own, *own.children(recursive=True)]}
        window = Window(watch)
        window.open()
        await asyncio.gather(*(self._lane() for _ in range(self._plan.streams)))
        return window.close(self._made, latencies=self._latencies, firsts=self._firsts)

    async def _lane(self) -> None:
        """One request after the other, while there are any."""
        for number, prompt in self._prompts:
            sent = time.perf_counter()
            first = 0.0
            outputs = self._llm.generate(
                {"prompt_token_ids": prompt}, self._params, f"{id(self)}-{number}"
            )
            async for output in outputs:
                first = first or time.perf_counter()
                self._made += len(output.outputs[0].token_ids)
            self._firsts.append(first - sent)
            self._latencies.append(time.perf_counter() - sent)


def load(plan: Direct, directory: Path) -> Any:
    """vLLM with the arguments that the engine's class would give it."""
    options = parse_options(VllmEngine, "vllm", plan.options)
    assert isinstance(options, VllmOptions)
    records = Records(directory)
    os.environ.update(environment(options, records.config, accelerated=False))
    from vllm.config import StructuredOutputsConfig
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    arguments = engine_arguments(inspect_path(plan.model), options, devices=0)
    arguments["structured_outputs_config"] = StructuredOutputsConfig(backend="guidance")
    return AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))


def plans() -> Iterator[Direct]:
    for line in sys.stdin.buffer:
        yield msgspec.json.decode(line, type=Direct)


async def carry_out(directory: Path) -> None:
    llm: Any = None
    for plan in plans():
        if llm is None:
            llm = load(plan, directory)
        read = llm.get_tokenizer()
        prompts = [read(text, add_special_tokens=False)["input_ids"] for text in plan.prompts]
        outcome = await DirectLoad(llm, plan, prompts).run()
        system.write_all(sys.stdout.fileno(), msgspec.json.encode(outcome) + b"\n")
    if llm is not None:
        llm.shutdown()


def main() -> None:
    with TemporaryDirectory(prefix="xinfer-bench-") as directory:
        uvloop.run(carry_out(Path(directory)))


if __name__ == "__main__":
    main()
