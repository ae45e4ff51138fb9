"""What is this engine's own: loading, failing, interrupting, and what it keeps."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.gguf_models import random_llama
from tests.unit.model.llm.llama_cpp.driver import running
from xinfer.errors import EngineFailed, InvalidRequest
from xinfer.model.engine import TokenEngine, TokenRequest, find_engine
from xinfer.model.inspect.model import inspect_path
from xinfer.model.llm.llama_cpp.context import LlamaContext, Outcome
from xinfer.model.llm.llama_cpp.engine import LlamaCppEngine
from xinfer.model.llm.llama_cpp.options import LlamaCppOptions
from xinfer.model.llm.scheduling.scheduler import Chunk
from xinfer.types.model import ModelSpec, Progress
from xinfer.types.request import Constraint, Sampling

pytestmark = pytest.mark.anyio

PROMPT = [72, 105, 32, 33]
ENDLESS = Sampling(temperature=0.0, ignore_eos=True)
LETTER = Constraint("grammar", 'root ::= "a"')


async def test_load_describes_itself_and_shows_progress(noise: Path) -> None:
    options = LlamaCppOptions(n_threads=1, n_ctx=300)
    engine = LlamaCppEngine(inspect_path(str(noise)), options)
    seen: list[Progress] = []
    loaded = await asyncio.to_thread(engine.load, seen.append)
    engine.close()
    assert isinstance(engine, TokenEngine)
    assert (loaded.context_length, loaded.concurrency, loaded.backend) == (300, 32, "cpu")
    assert loaded.details["layers_offloaded"] == 0
    assert (loaded.details["kv_cells"], loaded.details["kv_unified"]) == (16 * 512, False)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


async def test_what_was_computed_once_is_not_computed_again(noise: Path) -> None:
    async with running(noise) as driver:
        prompt = PROMPT * 15
        first = await driver.ask(prompt, 20, ENDLESS)
        turn = await driver.ask([*prompt, *first.ids, 40, 41], 5, ENDLESS)
        again = await driver.ask(prompt, 20, ENDLESS)
        stats = driver.engine.stats()
    assert first.cached_tokens == 0
    assert turn.cached_tokens == len(prompt) + 19
    assert again.cached_tokens == len(prompt) - 1
    assert again.ids == first.ids
    assert stats.cached_tokens == turn.cached_tokens + again.cached_tokens
    assert stats.prompt_tokens == 3 * len(prompt) + 22
    assert stats.completion_tokens == 45


class Steps:
    """Sees how the steps of all engines end, and when one with a long prompt begins."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.outcomes: list[Outcome] = []
        self._long = threading.Event()
        decode = LlamaContext.decode

        def spy(context: LlamaContext, chunks: Sequence[Chunk]) -> Outcome:
            if any(chunk.count > 1000 for chunk in chunks):
                self._long.set()
            self.outcomes.append(decode(context, chunks))
            return self.outcomes[-1]

        monkeypatch.setattr(LlamaContext, "decode", spy)

    async def long_prompt(self) -> None:
        assert await asyncio.to_thread(self._long.wait, 60)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(monkeypatch)


async def test_long_prompt_is_interrupted_in_the_midst_of_a_step(slow: Path, steps: Steps) -> None:
    async with running(slow, n_ctx=8192, n_batch=8192, n_parallel=1) as driver:
        number, answer = driver.submit([72] * 8000, 10)
        await steps.long_prompt()
        driver.engine.abort(number)
        await asyncio.wait_for(answer.ended.wait(), 60)
        assert (answer.ids, answer.finish) == ([], "abort")
        assert steps.outcomes == [Outcome.ABORTED]
        assert (await driver.ask(PROMPT, 3, ENDLESS)).finish == "length"


async def test_others_go_on_when_a_step_was_interrupted(slow: Path, steps: Steps) -> None:
    async with running(slow, n_ctx=8192, n_batch=8192) as driver:
        alone = await driver.ask(PROMPT, 200, ENDLESS)
        _, other = driver.submit(PROMPT, 200, ENDLESS)
        await asyncio.wait_for(other.begun.wait(), 60)
        number, answer = driver.submit([72] * 8000, 10)
        await steps.long_prompt()
        driver.engine.abort(number)
        await asyncio.wait_for(answer.ended.wait(), 60)
        await asyncio.wait_for(other.ended.wait(), 60)
        assert Outcome.ABORTED in steps.outcomes
        assert other.ids == alone.ids


async def test_failure_of_llama_cpp_ends_the_engine(
    noise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: LlamaContext, chunks: Sequence[Chunk]) -> Outcome:
        raise EngineFailed("llama_decode returned -3")

    monkeypatch.setattr(LlamaContext, "decode", fail)
    engine = LlamaCppEngine(inspect_path(str(noise)), LlamaCppOptions(n_threads=1, n_ctx=300))
    await asyncio.to_thread(engine.load, lambda _: None)
    engine.submit(TokenRequest(id=1, prompt=PROMPT, max_tokens=3))
    with pytest.raises(EngineFailed, match="returned -3"):
        await asyncio.wait_for(anext(engine.steps()), 60)
    engine.close()


@pytest.mark.parametrize(
    ("prompt", "most", "fields", "words"),
    [
        ([1] * 200, 313, {}, "exceed the available context size of 512"),
        ([5, 10**6], 3, {}, "token ids from 0"),
        ([5, -1], 3, {}, "token ids from 0"),
        ([], 3, {}, "token ids from 0"),
        ([5], 3, {"resume": [10**6]}, "token ids from 0"),
        ([5], 3, {"adapter": "none"}, "no LoRA adapter 'none'"),
        ([5], 3, {"constraint": Constraint("grammar", "root ::= x")}, "GBNF"),
        ([5], 3, {"constraint": LETTER, "sampling": ENDLESS}, "ignore_eos cannot go"),
    ],
)
async def test_request_that_cannot_be_is_refused_and_others_go_on(
    noise: Path, prompt: list[int], most: int, fields: dict[str, Any], words: str
) -> None:
    async with running(noise) as driver:
        answer = await driver.ask(prompt, most, **fields)
        assert answer.finish == "error"
        assert answer.failure is not None
        assert answer.failure.kind == "InvalidRequest"
        assert words in answer.failure.message
        assert (await driver.ask(PROMPT, 3, ENDLESS)).finish == "length"
        assert driver.engine.stats().running == driver.engine.stats().waiting == 0


async def test_resuming_a_finished_output_ends_at_once(noise: Path) -> None:
    async with running(noise) as driver:
        answer = await driver.ask(PROMPT, 3, resume=[1, 2, 3])
    assert (answer.ids, answer.finish) == ([], "length")


async def test_models_own_sampling_defaults_are_taken(models: Path) -> None:
    path = random_llama(models / "cool.gguf", extra={"general.sampling.temp": 0.0})
    async with running(path) as driver:
        greedy = await driver.ask(PROMPT, 40, Sampling(temperature=0.0))
        silent = await driver.ask(PROMPT, 40, Sampling())
    assert silent.ids == greedy.ids


async def test_close_ends_what_runs_and_what_waits(slow: Path) -> None:
    async with running(slow, n_ctx=8192, n_parallel=1) as driver:
        _, first = driver.submit(PROMPT, 8000, ENDLESS)
        _, second = driver.submit(PROMPT, 8000, ENDLESS)
        await asyncio.wait_for(first.begun.wait(), 60)
    assert first.finish == second.finish == "abort"


def test_engine_that_never_ran_closes(noise: Path) -> None:
    engine = LlamaCppEngine(inspect_path(str(noise)), LlamaCppOptions(n_threads=1, n_ctx=300))
    engine.load(lambda _: None)
    engine.close()
    engine.close()


def test_truncated_file_is_refused_by_name(noise: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.gguf"
    path.write_bytes(noise.read_bytes()[:-1000])
    engine = LlamaCppEngine(ModelSpec(name="a", format="ggufv2", path=str(path)), LlamaCppOptions())
    with pytest.raises(InvalidRequest, match=r"short\.gguf.*incomplete"):
        engine.load(lambda _: None)
    engine.close()


def test_file_that_llama_cpp_does_not_load_is_explained(noise: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(noise.read_bytes().replace(b"blk.1.attn_k.", b"blk.1.attn_x."))
    engine = LlamaCppEngine(ModelSpec(name="a", format="ggufv2", path=str(path)), LlamaCppOptions())
    with pytest.raises(InvalidRequest, match=r"cannot load .*odd\.gguf: .*blk\.1\.attn_k"):
        engine.load(lambda _: None)
    engine.close()


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (ModelSpec(name="a", format="pytorch"), "ggufv2"),
        (ModelSpec(name="a", format="ggufv2", type="embedding"), "models of type embedding"),
    ],
)
def test_support_says_why_not(spec: ModelSpec, reason: str) -> None:
    support = LlamaCppEngine.support(spec)
    assert not support.ok
    assert reason in support.reason


def test_is_registered() -> None:
    assert find_engine("llama-cpp-python") == ("llama-cpp-python", LlamaCppEngine)
