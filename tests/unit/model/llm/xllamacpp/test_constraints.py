"""Constraints that llama.cpp follows itself, and those that are looked after token by token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.conformance.schemas import SCHEMAS
from tests.support.gguf_models import random_llama, script_model, sentencepiece
from tests.unit.model.llm.xllamacpp.driver import Driver, running
from xinfer.errors import EngineFailed
from xinfer.model.llm.xllamacpp.generation import Generation
from xinfer.model.llm.xllamacpp.guide import one_of
from xinfer.model.llm.xllamacpp.server import LlamaServer
from xinfer.types.request import Constraint, Sampling

pytestmark = pytest.mark.anyio

HOT = Sampling(temperature=1.0)
SOME = [SCHEMAS[number] for number in (4, 11, 15, 21, 29, 35, 39, 44)]


@pytest.fixture(scope="session")
def words(models: Path) -> Path:
    """A blank in front of a word is a part of its token."""
    return random_llama(models / "words.gguf", vocabulary=sentencepiece(), pre=None)


async def hold(driver: Driver) -> None:
    for number, schema in enumerate(SOME):
        constraint = Constraint("json_schema", json.dumps(schema))
        answer = await driver.ask([number + 40], 300, HOT, constraint=constraint)
        assert answer.finish in {"stop", "length"}, answer.failure
        text = b"".join(map(driver.engine.tokenizer.piece, answer.ids)).decode()
        if answer.finish == "stop":
            jsonschema.validate(json.loads(text), schema)


async def test_models_with_other_tokens_follow_each_other_in_one_process(
    noise: Path, words: Path, models: Path
) -> None:
    other = script_model(models / "other.gguf", [b"more", b" tokens"])
    for path in (noise, words, other, noise):
        async with running(path) as driver:
            await hold(driver)


async def test_what_llama_cpp_does_not_follow_is_chosen_again(
    noise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    complete = LlamaServer.complete

    def spied(self: LlamaServer, body: dict[str, Any], on_chunk: Any = None) -> Any:
        asked.append(body)
        if on_chunk is not None:
            body = {name: value for name, value in body.items() if name != "grammar"}
        return complete(self, body, on_chunk)

    async with running(noise) as driver:
        monkeypatch.setattr(LlamaServer, "complete", spied)
        await hold(driver)
    streams = [body for body in asked if body["max_tokens"] > 1]
    assert any("grammar" in body for body in streams)
    assert len(streams) > 2 * len(SOME)
    assert all("grammar" in body for body in asked if body["max_tokens"] == 1)


async def test_a_text_that_ends_too_early_goes_on(
    noise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete, finished = LlamaServer.complete, Generation._finished

    def short(self: LlamaServer, body: dict[str, Any], on_chunk: Any = None) -> Any:
        return complete(self, {**body, "max_tokens": 3} if on_chunk else body, on_chunk)

    def early(self: Generation) -> Any:
        return {**finished(self), "stop_type": "eos"}

    async with running(noise) as driver:
        monkeypatch.setattr(LlamaServer, "complete", short)
        monkeypatch.setattr(Generation, "_finished", early)
        constraint = Constraint("regex", "[ab]{30}")
        answer = await driver.ask([9], 100, HOT, constraint=constraint)
    assert answer.finish == "stop"
    assert len(b"".join(map(driver.engine.tokenizer.piece, answer.ids))) == 30


async def test_a_constraint_does_not_go_with_an_output_that_may_not_end(noise: Path) -> None:
    sampling = Sampling(temperature=0.0, ignore_eos=True)
    async with running(noise) as driver:
        answer = await driver.ask([9], 9, sampling, constraint=Constraint("regex", "a"))
    assert answer.failure is not None
    assert answer.failure.param == "ignore_eos"


async def test_a_build_without_llguidance_enforces_nothing(
    noise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = LlamaServer.complete

    def without(self: LlamaServer, body: dict[str, Any], on_chunk: Any = None) -> Any:
        if "grammar" in body:
            raise EngineFailed("llama.cpp refused the request: failed to parse grammar.")
        return complete(self, body, on_chunk)

    monkeypatch.setattr(LlamaServer, "complete", without)
    async with running(noise) as driver:
        assert driver.loaded.abilities.constraint == frozenset()


def test_tokens_are_told_as_ranges() -> None:
    assert one_of([3, 4, 5, 9, 11, 12], optional=False).endswith("start: <[3-5,9,11-12]>")
    assert one_of([7], optional=True).endswith("start: <[7]>?")
