"""Vectors through the gateway: put together in order, and begun anew when a replica is lost."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from tests.support.encode_engine import BAD, LetterEngine, vector
from tests.support.replicas import Replica, served, soon, until
from tests.support.snapshots import deployment_status, replica_status, snapshot
from xinfer.core.gateway import Encoding, Gateway, RoutingTable
from xinfer.errors import Cancelled, EngineFailed, InvalidRequest, ReplicaLost, XinferError
from xinfer.settings import Settings
from xinfer.types.deployment import DeploymentState
from xinfer.types.event import SPARSE_ENTRY
from xinfer.types.request import EncodeRequest

pytestmark = pytest.mark.anyio
SETTINGS = dataclasses.replace(Settings(), resume_deadline=5.0)
READY = DeploymentState.READY


@asynccontextmanager
async def gateway(*replicas: Replica) -> AsyncIterator[Gateway]:
    """A gateway to the deployment "m" of these replicas."""
    table = RoutingTable()
    states = (replica_status(one.address, one.address, READY) for one in replicas)
    table.update(snapshot(deployment_status("m", *states, state=READY)))
    made = Gateway(table, SETTINGS)
    try:
        yield made
    finally:
        await made.close()


def encode(gateway: Gateway, *texts: str, **more: object) -> asyncio.Task[Encoding]:
    request = EncodeRequest(texts=list(texts), **more)  # type: ignore[arg-type]
    return asyncio.create_task(gateway.encode("m", request, request_id="r"))


def numbers(encoding: Encoding) -> list[list[float]]:
    return [np.frombuffer(row, "<f4").tolist() for row in encoding.rows()]


def vectors(*texts: str) -> list[list[float]]:
    return [vector([ord(c) for c in text]) for text in texts]


async def test_rows_come_in_the_order_of_the_texts() -> None:
    async with served(LetterEngine()) as replica, gateway(replica) as here:
        texts = [chr(97 + n % 26) * (n % 9 + 1) for n in range(100)]
        encoding = await soon(encode(here, *texts, "z" * 70))
        assert numbers(encoding)[:100] == vectors(*texts)
        assert encoding.truncated == (100,)
        assert encoding.usage.prompt_tokens == sum(map(len, texts)) + 64
        assert encoding.width == 8


async def test_sparse_vectors_come_in_the_order_of_the_texts() -> None:
    async with served(LetterEngine(sparse=True)) as replica, gateway(replica) as here:
        texts = [chr(97 + n % 26) * (n % 9 + 1) + "bc" * (n % 2) for n in range(100)]
        encoding, dense = await asyncio.gather(
            soon(encode(here, *texts, "", sparse=True)), soon(encode(here, *texts))
        )
        found = [np.frombuffer(row, list(SPARSE_ENTRY)).tolist() for row in encoding.rows()]
        expected = [sorted((ord(c), text.count(c)) for c in set(text)) for text in [*texts, ""]]
        assert found == expected
        assert numbers(dense) == vectors(*texts), "beside those who ask for dense ones"


async def test_nothing_but_empty_sparse_vectors_is_an_answer() -> None:
    async with served(LetterEngine(sparse=True)) as replica, gateway(replica) as here:
        encoding = await soon(encode(here, "", "", sparse=True))
        assert [bytes(row) for row in encoding.rows()] == [b"", b""]


async def test_a_request_is_begun_anew_when_its_replica_dies() -> None:
    first, second = LetterEngine(gated=True), LetterEngine(gated=True)
    async with served(first) as one, served(second) as other, gateway(one, other) as here:
        answer = encode(here, *["abc"] * 9)
        await until(lambda: first.begun or second.begun)
        dying, engine, living = (one, first, second) if first.begun else (other, second, first)
        engine.release(1)
        await until(lambda: engine.begun == 2)  # it has sent some rows
        dying.kill()
        await dying.stop_listening()
        await until(lambda: living.begun)
        living.release(1 << 10)
        assert numbers(await soon(answer)) == vectors(*["abc"] * 9)


async def test_without_another_replica_it_is_lost() -> None:
    engine = LetterEngine(gated=True)
    async with served(engine) as replica, gateway(replica) as here:
        here._settings = dataclasses.replace(SETTINGS, resume_deadline=0.0)
        answer = encode(here, "abc")
        await until(lambda: engine.begun)
        await replica.stop_listening()
        with pytest.raises(ReplicaLost):
            await soon(answer)


async def test_a_cancelled_request_is_cancelled_in_the_replica() -> None:
    engine = LetterEngine(gated=True)
    async with served(engine) as replica, gateway(replica) as here:
        answer = encode(here, *["abc"] * 100)
        await until(lambda: engine.begun)
        answer.cancel()
        await until(lambda: replica.admission.load.running == 0, "its end in the replica")
        engine.release(1 << 10)
        assert numbers(await soon(encode(here, "a"))) == vectors("a")
        assert sum(map(len, engine.batches)) <= 5


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"texts": ["a", BAD]}, InvalidRequest),
        ({"texts": ["a" * 65], "truncate": False}, InvalidRequest),
        ({"texts": ["a\x02"]}, EngineFailed),
    ],
)
async def test_what_the_request_is_at_fault_for_is_not_tried_again(
    request_: dict[str, object], error: type[XinferError]
) -> None:
    engine = LetterEngine()
    async with served(engine) as replica, gateway(replica) as here:
        with pytest.raises(error):
            await soon(here.encode("m", EncodeRequest(**request_), request_id="r"))  # type: ignore[arg-type]
        assert len(engine.tokenized) == len(request_["texts"])  # type: ignore[arg-type]


async def test_a_request_is_aborted_by_its_public_id() -> None:
    engine = LetterEngine(gated=True)
    async with served(engine) as replica, gateway(replica) as here:
        answer = encode(here, "abc")
        await until(lambda: engine.begun)
        assert await soon(here.abort("m", "r"))
        with pytest.raises(Cancelled):
            await soon(answer)


async def test_ten_thousand_long_vectors_come_whole() -> None:
    engine = LetterEngine(batch_items=512, batch_tokens=1 << 16)
    async with served(engine) as replica, gateway(replica) as here:
        texts = [chr(97 + n % 26) * (n % 9 + 1) for n in range(10_000)]
        assert numbers(await soon(encode(here, *texts))) == vectors(*texts)


async def test_tokens_are_spelled_by_a_replica_that_answers() -> None:
    async with (
        served(LetterEngine()) as one,
        served(LetterEngine()) as other,
        gateway(one, other) as here,
    ):
        assert await soon(here.spell("m", [104, 105])) == ["h", "i"]
        await one.stop_listening()
        assert await soon(here.spell("m", [104])) == ["h"]
        with pytest.raises(InvalidRequest, match="no such token"):
            await soon(here.spell("m", [1 << 20]))
        await other.stop_listening()
        with pytest.raises(ReplicaLost):
            await soon(here.spell("m", [104]))
