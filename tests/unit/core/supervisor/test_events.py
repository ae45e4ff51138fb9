"""The last events of the cluster."""

from __future__ import annotations

import logging

import pytest

from xinfer.core.supervisor.events import MAX_EVENTS, EventLog

logger = logging.getLogger("xinfer.test.events")


def test_an_event_is_said_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    events = EventLog(logger, lambda: 12.5)
    with caplog.at_level(logging.INFO):
        events.add(logging.WARNING, "Model m is 100% gone", model="m")
        events.add(logging.INFO, "Worker w joined", worker="w")
    assert [record.getMessage() for record in caplog.records] == [
        "Model m is 100% gone",
        "Worker w joined",
    ]
    first, second = events.read()
    assert (first.at, first.level, first.model, first.worker) == (12.5, "WARNING", "m", "")
    assert (second.level, second.worker) == ("INFO", "w")
    assert events.read("m") == [first]
    assert events.read("") == [second]
    assert events.read("other") == []


def test_the_oldest_go() -> None:
    events = EventLog(logger, lambda: 0.0)
    for number in range(MAX_EVENTS + 5):
        events.add(logging.DEBUG, str(number), model="m")
    kept = events.read("m")
    assert len(kept) == MAX_EVENTS
    assert (kept[0].text, kept[-1].text) == ("5", str(MAX_EVENTS + 4))


def test_a_long_text_is_cut() -> None:
    events = EventLog(logger, lambda: 0.0)
    events.add(logging.DEBUG, "x" * 10**6)
    assert len(events.read()[0].text) < 10_000
