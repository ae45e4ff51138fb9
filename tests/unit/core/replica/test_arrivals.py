"""Large requests: put together from their parts, and refused when too many bytes would wait."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.support.replicas import Peer, Replica, prompt, served, until
from tests.support.work_engine import StepEngine, drawing
from xinfer.core.replica.admission import Admission
from xinfer.core.replica.arrivals import Arrivals
from xinfer.errors import Unavailable
from xinfer.settings import Settings
from xinfer.types.event import Accepted, Finished, Refused, Started
from xinfer.types.link import Cancel, Part, Submit
from xinfer.types.request import Media

pytestmark = pytest.mark.anyio

SIZE = 1000
"""Bytes of a message, of which two may wait."""


def room(max_bytes: int = 2 * SIZE) -> tuple[Admission, Arrivals]:
    admission = Admission(1, 10, 60.0, max_bytes=max_bytes)
    return admission, Arrivals(admission)


def part(rid: int, left: int, data: bytes = b"x" * 400) -> Part:
    return Part(rid, data, left)


async def test_parts_are_put_together_in_their_order_each_with_its_own() -> None:
    _, arrivals = room()
    assert arrivals.add(part(1, 5, b"one ")) is None
    assert arrivals.add(part(2, 3, b"two ")) is None
    whole = arrivals.add(part(1, 0, b"whole"))
    assert whole is not None
    assert bytes(whole[0]) == b"one whole"
    other = arrivals.add(part(2, 0, b"too"))
    assert other is not None
    assert bytes(other[0]) == b"two too"


async def test_what_would_be_too_many_bytes_is_refused_with_its_first_part() -> None:
    _, arrivals = room()
    arrivals.add(part(1, SIZE - 400))
    arrivals.add(part(2, SIZE - 400))
    with pytest.raises(Unavailable, match="XINFERENCE_MAX_QUEUE_BYTES") as refused:
        arrivals.add(part(3, SIZE - 400))
    assert refused.value.code == "overloaded"
    assert refused.value.retry_after
    assert arrivals.add(part(3, 200)) is None, "what was on its way goes nowhere"
    assert arrivals.add(part(3, 0)) is None
    assert not arrivals._refused, "and is not remembered"
    with pytest.raises(Unavailable):
        arrivals.add(part(4, SIZE - 400))
    arrivals.drop(4)
    assert not arrivals._refused
    assert arrivals.add(part(1, 0)) is not None


@pytest.mark.parametrize("how", ["released", "dropped", "closed"])
async def test_bytes_that_wait_no_more_make_room(how: str) -> None:
    _, arrivals = room(SIZE)
    arrivals.add(part(1, SIZE - 400))
    if how == "dropped":
        arrivals.drop(1)
    elif how == "closed":
        arrivals.close()
    else:
        whole = arrivals.add(part(1, 0))
        assert whole is not None
        whole[1].release()
        whole[1].release()  # is harmless
    assert arrivals.add(part(2, SIZE - 400)) is None
    with pytest.raises(Unavailable):
        arrivals.add(part(3, SIZE - 400))


async def test_a_request_that_is_alone_may_be_larger() -> None:
    _, arrivals = room(10)
    arrivals.add(part(1, SIZE))
    assert arrivals.add(part(1, 0)) is not None


async def test_a_full_waiting_room_refuses_before_the_rest_is_sent() -> None:
    admission, arrivals = room()
    for _ in range(11):
        admission.enter()
    with pytest.raises(Unavailable, match="1 requests run and 10 wait"):
        arrivals.add(part(1, SIZE))


def send(peer: Peer, rid: int, text: str, size: int = 600_000) -> None:
    """A request with a picture, in two parts."""
    request = drawing(text, images=(Media(bytes(size), "image"),))
    message = msgspec.msgpack.encode(Submit(rid, text, request, 8))
    half = len(message) // 2
    peer.send(Part(rid, message[:half], len(message) - half), Part(rid, message[half:], 0))


async def refused(peer: Peer, rid: int) -> bool:
    """Whether this one is, or else it waits."""
    send(peer, rid, str(rid))
    found: Any = await until(
        lambda: [one for one in peer.events(rid) if isinstance(one, (Refused, Accepted))]
    )
    return isinstance(found[0], Refused)


@pytest.mark.parametrize("how", ["it has a slot", "it is cancelled", "its link is lost"])
async def test_a_large_request_takes_room_until(how: str) -> None:
    engine = StepEngine(gated=True)
    async with served(engine, settings=Settings(max_queue_bytes=1_000_000)) as replica:
        peer, other = await Peer.of(replica), await Peer.of(replica)
        peer.submit(1, drawing("first"))
        await peer.event(1, Started)
        assert not await refused(other, 1)
        assert await refused(peer, 2)
        if how == "it has a slot":
            engine.release(3)
            await other.event(1, Started)
        elif how == "it is cancelled":
            other.send(Cancel(1))
            await other.settled()
        else:
            other.link.abort("it dies")
        await until(lambda: _held(replica) == 0, "the room")
        assert not await refused(peer, 3)
        engine.release(100)


async def test_one_that_is_refused_in_the_end_leaves_its_room() -> None:
    engine = StepEngine()
    async with served(engine, settings=Settings(max_queue_bytes=1_000_000)) as replica:
        peer = await Peer.of(replica)
        send(peer, 1, "refused")
        await peer.event(1, Refused)
        await until(lambda: _held(replica) == 0, "the room")
        send(peer, 2, "next")
        await peer.event(2, Finished)


async def test_parts_that_make_no_request_end_the_link() -> None:
    async with served(StepEngine()) as replica:
        peer = await Peer.of(replica)
        peer.send(Part(1, b"no", 2), Part(1, b"ne", 0))
        await until(lambda: peer.lost, "the end")
        assert _held(replica) == 0
        nested = msgspec.msgpack.encode(Part(1, msgspec.msgpack.encode(prompt()), 0))
        other = await Peer.of(replica)
        other.send(Part(1, nested, 0))
        await until(lambda: other.lost, "the end")


def _held(replica: Replica) -> int:
    return replica.admission._waiting_bytes
