"""LoRA adapters: the text is that of weights with the adapter merged into them."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from tests.support.gguf_additions import lora_adapter, merged
from tests.support.gguf_models import random_llama
from tests.unit.model.llm.llama_cpp.driver import Driver, running
from xinfer.errors import InvalidRequest
from xinfer.model.inspect.model import inspect_path
from xinfer.model.llm.llama_cpp.engine import LlamaCppEngine
from xinfer.model.llm.llama_cpp.options import LlamaCppOptions
from xinfer.types.model import LoraAdapter
from xinfer.types.request import Sampling

pytestmark = pytest.mark.anyio

DECIDED = 0.002
"""A lead of the likeliest token that does not depend on the order of additions in 32 bits."""
TOKENS = 16


@pytest.fixture(scope="module")
def adapters(models: Path, noise: Path) -> dict[str, Path]:
    return {
        name: lora_adapter(models / f"{name}.gguf", noise, seed=seed)
        for seed, name in enumerate(("left", "right"), start=1)
    }


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    random = np.random.default_rng(3)
    return [random.integers(0, 256, length).tolist() for length in (3, 20, 90, 40, 150, 7)]


async def expected(path: Path, prompts: list[list[int]]) -> list[list[int]]:
    """What a model without adapters says to each prompt; as many tokens of it as are decided."""
    found = []
    async with running(path, n_parallel=1) as driver:
        for prompt in prompts:
            answer = await driver.ask(prompt, TOKENS, Sampling(temperature=0.0, logprobs=2))
            close = [
                position
                for position, logprob in enumerate(answer.logprobs)
                if logprob.top[0][1] - logprob.top[1][1] < DECIDED
            ]
            found.append(answer.ids[: close[0] if close else TOKENS])
    assert sum(map(len, found)) > 0.7 * TOKENS * len(prompts), "too few of the tokens are decided"
    return found


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def truth(
    models: Path, noise: Path, adapters: dict[str, Path], prompts: list[list[int]]
) -> dict[str | None, list[list[int]]]:
    """The answers by adapter, of files that have it in their weights."""
    made: dict[str | None, list[list[int]]] = {None: await expected(noise, prompts)}
    for name, path in adapters.items():
        made[name] = await expected(merged(models / f"{name}-merged.gguf", noise, path), prompts)
    return made


async def check(driver: Driver, prompt: list[int], adapter: str | None, right: list[int]) -> int:
    """Ask, and compare; returns the tokens that were reused."""
    answer = await driver.ask(prompt, TOKENS, adapter=adapter)
    assert answer.ids[: len(right)] == right, (adapter, len(prompt), answer.failure)
    return answer.cached_tokens


async def test_an_adapter_says_what_merged_weights_say(
    noise: Path,
    adapters: dict[str, Path],
    prompts: list[list[int]],
    truth: dict[str | None, list[list[int]]],
) -> None:
    assert truth[None] != truth["left"] != truth["right"], "these adapters change nothing"
    options = {"lora": {name: str(path) for name, path in adapters.items()}}
    async with running(noise, **options) as driver:
        assert driver.loaded.abilities.adapters == set(adapters)
        for name in ("left", None, "right"):
            for prompt, right in zip(prompts, truth[name], strict=True):
                await check(driver, prompt, name, right)


@pytest.mark.parametrize("options", [{}, {"kv_unified": False}, {"n_batch": 32, "n_kv": 512}])
async def test_adapters_together_say_what_each_says_alone(
    noise: Path,
    adapters: dict[str, Path],
    prompts: list[list[int]],
    truth: dict[str | None, list[list[int]]],
    options: dict[str, Any],
) -> None:
    options = {"lora": {name: str(path) for name, path in adapters.items()}, **options}
    async with running(noise, **options) as driver:
        for _ in range(2):  # the second time on what the first one left
            await asyncio.gather(
                *(
                    check(driver, prompt, name, truth[name][number])
                    for number, prompt in enumerate(prompts)
                    for name in ("right", None, "left")
                )
            )


async def test_a_prefix_is_reused_with_the_same_adapter_only(
    noise: Path,
    adapters: dict[str, Path],
    prompts: list[list[int]],
    truth: dict[str | None, list[list[int]]],
) -> None:
    prompt = prompts[4]
    names = ("left", None, "right")
    options = {"lora": {name: str(path) for name, path in adapters.items()}}
    async with running(noise, **options) as driver:
        for name in names:
            assert await check(driver, prompt, name, truth[name][4]) == 0
        for name in names:
            assert await check(driver, prompt, name, truth[name][4]) == len(prompt) - 1


async def test_scale_is_how_strongly_an_adapter_is_applied(
    models: Path, noise: Path, adapters: dict[str, Path], prompts: list[list[int]]
) -> None:
    half = await expected(merged(models / "half.gguf", noise, adapters["left"], scale=0.5), prompts)
    lora = {
        "half": LoraAdapter(str(adapters["left"]), 0.5),
        "none": LoraAdapter(str(adapters["left"]), 0.0),
        "whole": str(adapters["left"]),
    }
    base = await expected(noise, prompts)
    async with running(noise, lora=lora) as driver:
        whole = [(await driver.ask(prompt, TOKENS, adapter="whole")).ids for prompt in prompts]
        assert [ids[: len(right)] for ids, right in zip(whole, half, strict=True)] != half
        for name, answers in (("half", half), ("none", base)):
            for prompt, right in zip(prompts, answers, strict=True):
                await check(driver, prompt, name, right)


async def test_an_adapter_that_is_not_there_ends_its_request_alone(noise: Path) -> None:
    async with running(noise) as driver:
        answer = await driver.ask([1, 2, 3], 4, adapter="other")
        assert answer.failure is not None
        assert "'other'" in answer.failure.message
        assert (await driver.ask([1, 2, 3], 4)).finish == "length"


def refusal(model: Path, adapter: Path) -> str:
    options = LlamaCppOptions(n_ctx=64, n_threads=1, lora={"mine": str(adapter)})
    engine = LlamaCppEngine(inspect_path(str(model)), options)
    try:
        with pytest.raises(InvalidRequest) as raised:
            engine.load(lambda _: None)
    finally:
        engine.close()
    assert raised.value.param == "lora"
    assert raised.value.message.startswith("LoRA adapter mine: ")
    return raised.value.message


def test_a_file_that_cannot_be_an_adapter_is_refused_by_name(
    tmp_path: Path, noise: Path, adapters: dict[str, Path]
) -> None:
    whole = adapters["left"].read_bytes()
    text, cut = tmp_path / "text.gguf", tmp_path / "cut.gguf"
    text.write_text("no adapter")
    cut.write_bytes(whole[:-100])
    wider = random_llama(tmp_path / "wider.gguf", width=128)
    other = lora_adapter(tmp_path / "qwen2.gguf", noise, architecture="qwen2")
    vector = lora_adapter(tmp_path / "vector.gguf", noise, kind="control_vector")
    for adapter, reason in (
        (tmp_path / "nothing.gguf", "cannot read"),
        (tmp_path, "is a directory"),
        (text, "signature"),
        (cut, "incomplete: its header speaks of"),
        (noise, "is no LoRA adapter (its type is model)"),
        (vector, "is no LoRA adapter (its type is control_vector)"),
        (other, "for models of the architecture qwen2, and this one is of llama"),
        (lora_adapter(tmp_path / "wide.gguf", wider), "incorrect shape"),
    ):
        assert reason in refusal(noise, adapter), adapter


def test_metadata_that_would_end_the_process_is_refused(tmp_path: Path, noise: Path) -> None:
    adapter = lora_adapter(tmp_path / "adapter.gguf", noise)
    key = b"adapter.lora.alpha" + struct.pack("<I", gguf.GGUFValueType.FLOAT32)
    number = key[:-4] + struct.pack("<I", gguf.GGUFValueType.UINT32)
    adapter.write_bytes(adapter.read_bytes().replace(key, number))
    assert "adapter.lora.alpha" in refusal(noise, adapter)
