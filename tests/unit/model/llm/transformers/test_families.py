"""Every family says alone and in company what a plain call of its model says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.support.recompute import RecomputeInTransformers
from tests.support.token_engine import driving
from tests.unit.model.llm.transformers.conftest import PACKED, ROWS, MakeModel
from xinfer.errors import InvalidRequest
from xinfer.model.inspect.model import inspect_path
from xinfer.model.llm.transformers.engine import TransformersEngine
from xinfer.model.llm.transformers.options import TransformersOptions

pytestmark = pytest.mark.anyio

LENGTHS = (1, 3, 9, 20, 33)
"""Of prompts: shorter and longer than windows and steps."""
TOKENS = 12
DECIDED = 1e-3


def prompts(count: int, seed: int) -> list[list[int]]:
    random = np.random.default_rng(seed)
    return [random.integers(0, 250, LENGTHS[number % 5]).tolist() for number in range(count)]


def decided(reference: RecomputeInTransformers) -> list[tuple[list[int], list[int]]]:
    """Prompts whose answers no rounding changes, with these."""
    found = []
    for prompt in prompts(15, 1):
        expected = reference.greedy(prompt, TOKENS, DECIDED)
        if expected.lead >= DECIDED:
            found.append((prompt, expected.ids))
    return found


async def answers(path: Path, asked: Sequence[list[int]], **options: object) -> list[list[int]]:
    defaults = {"n_threads": 1, "max_num_seqs": 4, "max_batch_tokens": 32}
    engine = TransformersEngine(
        inspect_path(str(path)),
        TransformersOptions(**{**defaults, **options}),  # type: ignore[arg-type]
    )
    async with driving(engine, inspect_path(str(path))) as driver:
        got = await asyncio.gather(*(driver.ask(prompt, TOKENS) for prompt in asked))
        return [answer.ids for answer in got]


@pytest.mark.parametrize("family", [*PACKED, *ROWS])
async def test_a_family_says_what_its_model_says(family: str, make_model: MakeModel) -> None:
    path = make_model(family)
    reference = RecomputeInTransformers(path)
    works = decided(reference)
    assert len(works) >= 5
    got = await answers(path, [prompt for prompt, _ in works])
    assert got == [expected for _, expected in works]


@pytest.mark.parametrize(("family", "how"), [*((f, "packed") for f in PACKED)])
async def test_families_are_computed_together_where_that_is_right(
    family: str, how: str, make_model: MakeModel
) -> None:
    assert await batching(make_model(family)) == (how, "gives the same results")


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        ("mamba", "it has layers of the kind linear_attention"),
        ("bloom", "its attention cannot be exchanged"),
        ("deepseek_v3", "it fails so (RuntimeError"),
    ],
)
async def test_others_are_computed_row_by_row_and_say_why(
    family: str, reason: str, make_model: MakeModel
) -> None:
    how, why = await batching(make_model(family))
    assert how == "rows"
    assert why.startswith(reason)
    with pytest.raises(InvalidRequest, match="cannot be computed packed"):
        await batching(make_model(family), batching="packed")


async def batching(path: Path, **options: object) -> tuple[str, str]:
    engine = TransformersEngine(
        inspect_path(str(path)),
        TransformersOptions(n_threads=1, **options),  # type: ignore[arg-type]
    )
    try:
        details = (await asyncio.to_thread(engine.load, lambda _: None)).details
    finally:
        engine.close()
    return details["batching"], details["batching_reason"]
