"""An engine from its making to its end."""

from __future__ import annotations

import asyncio

import pytest

from tests.conformance.engines import ALL, engines
from tests.conformance.subject import Subject
from xinfer.model.encode_engine import EncodeEngine
from xinfer.model.engine import BUILTIN, EngineOptions, TokenEngine, find_engine
from xinfer.model.work_engine import WorkEngine
from xinfer.types.model import Progress
from xinfer.types.request import Sampling

pytestmark = pytest.mark.anyio

TEXTS = [
    "Hello, world!",
    "你好，世界",
    "a🎉b",
    "  two  spaces\n\n\ttab",
    "é e\u0301",
    "<none>",
]


def test_every_token_engine_of_this_package_is_held_to_the_contract() -> None:
    others = (EncodeEngine, WorkEngine)
    names = {name for name in BUILTIN if not issubclass(find_engine(name)[1], others)}
    assert names
    assert names <= {case.name for case in ALL}


@engines()
async def test_it_supports_the_model_and_names_its_options(subject: Subject) -> None:
    engine, spec = subject.make()
    support = type(engine).support(spec)
    assert support.ok, support.reason
    assert issubclass(type(engine).options(), EngineOptions)
    async with subject.running() as driver:
        assert isinstance(driver.engine, TokenEngine)


@engines()
async def test_it_declares_what_the_table_says(subject: Subject) -> None:
    adapters = subject.adapters() if "adapters" in subject.case.abilities else {}
    async with subject.running(adapters=adapters, slots=3, context=256) as driver:
        loaded = driver.loaded
    abilities = loaded.abilities
    declared = {"resume"} if abilities.resume else set()
    declared |= {"logprobs"} if abilities.logprobs else set()
    declared |= abilities.constraint
    declared |= {"adapters"} if abilities.adapters else set()
    assert declared == subject.case.abilities
    assert abilities.adapters == set(adapters)
    # These two every engine honours, or declares otherwise.
    assert abilities.sampling <= set(Sampling.__struct_fields__) - {"max_tokens", "logprobs"}
    assert loaded.context_length == 256
    assert loaded.concurrency >= 3  # an engine may hold some that wait for a slot
    assert loaded.backend


@engines(lambda case: not case.shared)
async def test_loading_shows_progress_that_never_goes_back(subject: Subject) -> None:
    engine, _ = subject.make()
    seen: list[Progress] = []
    await asyncio.to_thread(engine.load, seen.append)
    await asyncio.to_thread(engine.close)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert (fractions[0] >= 0.0, fractions[-1]) == (True, 1.0)


@engines(lambda case: not case.shared)
async def test_closing_ends_the_steps_whatever_runs(subject: Subject) -> None:
    async with subject.running(slots=3, context=2048) as driver:
        sampling = Sampling(temperature=0.0, ignore_eos=True)
        running = [driver.submit(prompt, 40, sampling) for prompt in subject.prompts([5, 9, 2000])]
        await driver.wait(running[0][1].begun)
    # Leaving the block has awaited the end of the steps.


@engines(lambda case: not case.shared)
async def test_closing_without_any_request(subject: Subject) -> None:
    async with subject.running() as driver:
        assert driver.engine.stats().running == 0


@engines()
async def test_bytes_of_tokens_are_the_text_again(subject: Subject) -> None:
    async with subject.running() as driver:
        tokenizer = driver.engine.tokenizer
        for text in TEXTS:
            ids = tokenizer.encode(text, special=False)
            assert all(0 <= token < tokenizer.vocabulary_size for token in ids)
            assert b"".join(map(tokenizer.piece, ids)) == text.encode()
        assert tokenizer.eos_ids
        assert max(tokenizer.eos_ids) < tokenizer.vocabulary_size
        with pytest.raises(IndexError):
            tokenizer.piece(tokenizer.vocabulary_size)
