"""An engine under test: starts it on a model, and knows what the model has to say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.conformance.engines import EngineCase, Setup
from tests.conformance.models import SCRIPT_TEXT, Models
from tests.conformance.shared import SharedEngines
from tests.support.recompute import Expected, Reference
from tests.support.token_engine import Driver, driving
from xinfer.model.engine import TokenEngine, find_engine, parse_options

DECIDED = 0.02
"""A lead of logits that no order of additions turns round in 32 bits."""

LENGTHS = (1, 3, 8, 17, 40, 64, 90, 150, 220, 300)
"""Of prompts that are mixed: shorter and longer than steps, blocks and each other."""

TOKENS = 16
"""Length of the answers that are compared."""


@dataclass(frozen=True)
class Work:
    """A prompt, and the one right answer to it."""

    prompt: list[int]
    expected: Expected
    max_tokens: int = TOKENS


class Subject:
    """One engine, for one test.

    Args:
        engine: the class to test in place of the registered one.
        shared: engines that other tests have used, for a case that is shared.
    """

    def __init__(
        self,
        case: EngineCase,
        models: Models,
        engine: type[Any] | None = None,
        shared: SharedEngines | None = None,
    ) -> None:
        self.case = case
        self.models = models
        self._engine = engine or find_engine(case.name)[1]
        self._shared = shared

    @asynccontextmanager
    async def running(self, model: str = "noise", **setup: Any) -> AsyncIterator[Driver]:
        """The engine, loaded, for as long as the block takes. `setup` as in `Setup`."""
        if self._shared is not None:
            async with self._shared.turn(self, model, Setup(**setup)) as driver:
                yield driver
            return
        engine, spec = self.make(model, **setup)
        async with driving(engine, spec) as driver:
            yield driver

    def make(self, model: str = "noise", **setup: Any) -> tuple[TokenEngine, Any]:
        """The engine, not loaded, and the model it is for."""
        options = self.case.options(Setup(**setup))
        spec = self.models.spec(self.case.format, model)
        parsed = parse_options(self._engine, self.case.name, options)
        return self._engine(spec, parsed), spec

    def reference(self, model: str = "noise", adapter: str | None = None) -> Reference:
        return self.models.reference(self.case.format, model, adapter)

    def adapters(self) -> dict[str, Path]:
        """LoRA adapters for the model `noise`, by the names that `reference` knows."""
        assert self.case.format is not None
        return {name: self.models.adapter(self.case.format, name) for name in ("left", "right")}

    def prompts(self, lengths: Sequence[int] = LENGTHS, *, seed: int = 0) -> list[list[int]]:
        """Random prompts for the model `noise`, or the echo engine."""
        random = np.random.default_rng(seed)
        return [random.integers(0, 256, length).tolist() for length in lengths]

    def works(
        self,
        lengths: Sequence[int] = LENGTHS,
        *,
        seed: int = 0,
        prefix: Sequence[int] = (),
        max_tokens: int = TOKENS,
        adapter: str | None = None,
    ) -> list[Work]:
        """Prompts of `prefix` and a random rest of these lengths, with decided answers."""
        random = np.random.default_rng(seed)
        reference = self.reference("noise", adapter)
        found = []
        for length in lengths:
            for _ in range(100):
                prompt = [*prefix, *random.integers(0, 256, length).tolist()]
                expected = reference.greedy(prompt, max_tokens, DECIDED)
                if expected.lead >= DECIDED:
                    found.append(Work(prompt, expected, max_tokens))
                    break
            else:
                raise AssertionError(f"no decided answer to a prompt of {length} tokens")
        return found

    def script_prompt(self, driver: Driver) -> list[int]:
        """What makes the model `script` say its script."""
        return driver.engine.tokenizer.encode(SCRIPT_TEXT, special=False)
