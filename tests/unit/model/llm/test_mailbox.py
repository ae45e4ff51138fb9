"""From threads to the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from xinfer.model.llm.mailbox import Mailbox

pytestmark = pytest.mark.anyio


async def collect(mailbox: Mailbox[int]) -> list[list[int]]:
    return [batch async for batch in mailbox.batches()]


async def test_what_gathered_before_comes_as_one_batch_and_then_the_end() -> None:
    mailbox: Mailbox[int] = Mailbox()
    for number in range(5):
        mailbox.put(number)
    mailbox.close()
    assert await collect(mailbox) == [[0, 1, 2, 3, 4]]


async def test_nothing_is_taken_after_close() -> None:
    mailbox: Mailbox[int] = Mailbox()
    mailbox.close()
    mailbox.put(1)
    assert await collect(mailbox) == []


async def test_a_put_wakes_a_waiting_reader() -> None:
    mailbox: Mailbox[int] = Mailbox()
    batches = mailbox.batches()
    waiting = asyncio.ensure_future(anext(batches))
    await asyncio.sleep(0)
    threading.Thread(target=mailbox.put, args=(1,)).start()
    assert await asyncio.wait_for(waiting, 10) == [1]
    mailbox.close()
    assert await collect(mailbox) == []


async def test_nothing_is_lost_or_reordered_between_threads() -> None:
    mailbox: Mailbox[tuple[int, int]] = Mailbox()

    def fill(thread: int) -> None:
        for number in range(500):
            mailbox.put((thread, number))

    threads = [threading.Thread(target=fill, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    seen: list[tuple[int, int]] = []
    async for batch in mailbox.batches():
        seen += batch
        if len(seen) == 2000:
            break
    for thread in range(4):
        assert [number for of, number in seen if of == thread] == list(range(500))


def test_threads_may_go_on_after_the_loop_is_closed() -> None:
    async def make() -> Mailbox[int]:
        return Mailbox()

    mailbox = asyncio.run(make())
    mailbox.put(1)
    mailbox.close()
