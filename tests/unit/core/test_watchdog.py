"""The watchdog of an event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

from xinfer.core.watchdog import watched

THRESHOLD = 0.2


def tokenise(until: threading.Event) -> None:
    """Keeps the loop busy until then, as a long computation does."""
    assert until.wait(20)


class Said(logging.Handler):
    """What was logged; `blocked` and `on_again` are set when that is said."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.blocked, self.on_again = threading.Event(), threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        if "has been blocked" in record.getMessage():
            self.blocked.set()
        if "goes on" in record.getMessage():
            self.on_again.set()


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture(autouse=True)
def listening(said: Said) -> object:
    logger = logging.getLogger("xinfer.core.watchdog")
    logger.addHandler(said)
    yield
    logger.removeHandler(said)


def test_a_blocked_loop_is_said_once_with_what_it_is_at_and_its_end_too(said: Said) -> None:
    async def main() -> None:
        with watched(THRESHOLD):
            await asyncio.sleep(0)
            tokenise(said.blocked)  # until the watchdog has noticed
            assert await asyncio.to_thread(said.on_again.wait, 20)

    asyncio.run(main())
    blocked, on_again = said.records
    assert blocked.stack_info is not None
    assert "tokenise" in blocked.stack_info
    assert "test_watchdog.py" in blocked.stack_info
    assert "blocked for" in on_again.getMessage()


def test_a_loop_that_turns_is_left_alone(said: Said) -> None:
    async def main() -> None:
        with watched(THRESHOLD):
            for _ in range(60):
                await asyncio.sleep(0.01)

    asyncio.run(main())
    assert [record for record in said.records if record.stack_info] == []


def test_a_process_that_stood_still_is_not_taken_for_a_blocked_loop(
    said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    jump = 0.0

    def monotonic() -> float:
        return time.monotonic() + jump

    monkeypatch.setattr("xinfer.core.watchdog.monotonic", monotonic)

    async def main() -> None:
        nonlocal jump
        with watched(THRESHOLD):
            await asyncio.sleep(THRESHOLD)
            jump = 100.0
            await asyncio.sleep(THRESHOLD)

    asyncio.run(main())
    assert [record.stack_info for record in said.records if record.stack_info] == []


def test_nothing_is_left_of_it_and_nothing_starts_without_a_threshold() -> None:
    async def main() -> None:
        before = threading.active_count()
        with watched(0.0):
            assert threading.active_count() == before
        with watched(THRESHOLD):
            assert threading.active_count() == before + 1
        assert threading.active_count() == before

    asyncio.run(main())
