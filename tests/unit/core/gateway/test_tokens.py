"""Tokens of prompts and texts of tokens, asked for over the link of a real replica."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.encode_engine import LetterEngine
from tests.support.replicas import TOKEN, ScriptedEngine, prompt, served
from xinfer.core.gateway.replica_link import ReplicaLink
from xinfer.errors import InvalidRequest, PayloadTooLarge, ReplicaLost
from xinfer.settings import Settings
from xinfer.types.request import ChatRequest

pytestmark = pytest.mark.anyio

TEXT = "hello, 世界"


@asynccontextmanager
async def link_to(address: str, settings: Settings | None = None) -> AsyncIterator[ReplicaLink]:
    link = ReplicaLink(address, settings or Settings(), lambda: None)
    await link.open(TOKEN)
    try:
        yield link
    finally:
        link.close()


async def test_a_prompt_is_made_tokens_and_back_without_a_slot() -> None:
    engine = ScriptedEngine()
    async with served(engine, max_queue=0) as replica, link_to(replica.address) as link:
        answer = await link.tokenize(prompt(TEXT), count_only=False)
        assert answer.ids == list(TEXT.encode())
        assert answer.count == len(answer.ids)
        assert await link.detokenize(answer.ids) == TEXT
        assert engine.submitted == []


async def test_a_count_brings_no_ids() -> None:
    async with served(ScriptedEngine()) as replica, link_to(replica.address) as link:
        answer = await link.tokenize(prompt("abc"), count_only=True)
        assert (answer.count, answer.ids) == (3, [])


async def test_what_is_wrong_with_a_prompt_or_a_token_is_told() -> None:
    async with served(ScriptedEngine()) as replica, link_to(replica.address) as link:
        with pytest.raises(InvalidRequest, match="no messages"):
            await link.tokenize(ChatRequest(messages=[]), count_only=True)
        with pytest.raises(InvalidRequest, match="no token 5000") as caught:
            await link.detokenize([5000])
        assert caught.value.param == "tokens"


async def test_a_model_of_another_kind_says_so() -> None:
    async with served(LetterEngine()) as replica, link_to(replica.address) as link:
        with pytest.raises(InvalidRequest, match="makes vectors or scores"):
            await link.tokenize(prompt(), count_only=True)
        with pytest.raises(InvalidRequest, match="makes vectors or scores"):
            await link.detokenize([1])


async def test_a_prompt_that_does_not_fit_into_a_frame_is_refused() -> None:
    settings = Settings(max_frame_bytes=1 << 16)
    async with served(ScriptedEngine()) as replica, link_to(replica.address, settings) as link:
        with pytest.raises(PayloadTooLarge):
            await link.tokenize(prompt("x" * (1 << 17)), count_only=True)


async def test_the_end_of_the_replica_is_the_answer() -> None:
    async with served(ScriptedEngine()) as replica, link_to(replica.address) as link:
        await replica.stop_listening()
        with pytest.raises(ReplicaLost):
            await link.detokenize([1])
