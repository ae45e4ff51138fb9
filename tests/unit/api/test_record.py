"""The record of one inference request."""

from __future__ import annotations

import pytest

from xinfer.api.record import InferenceRecord
from xinfer.types.event import Usage


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("xinfer.api.record.time", clock)
    return clock


def test_choices_of_a_stream_have_one_first_text_and_times_of_their_own(clock: Clock) -> None:
    record = InferenceRecord("m", "generate", 10.0, stream=True)
    for choice in ((11.0, 12.0, 15.0), (30.0, 31.0)):
        for clock.now in choice:
            record.tick()
        record.finish("stop", Usage(5, 3, 1), 0.5)
    assert record.first == 1.0
    assert record.stall == 3.0  # not the time between two choices
    assert record.gaps == [2.0, 0.5]
    assert record.usage == Usage(10, 6, 2)
    assert record.waits == [0.5, 0.5]
    assert record.reasons == ["stop", "stop"]


def test_what_was_no_stream_or_one_token_has_no_gaps(clock: Clock) -> None:
    whole = InferenceRecord("m", "chat", 0.0, stream=False)
    whole.finish("length", Usage(5, 9, 0), 0.0)
    assert (whole.first, whole.gaps, whole.reasons) == (None, [], ["length"])
    short = InferenceRecord("m", "chat", 0.0, stream=True)
    clock.now = 2.0
    short.tick()
    short.finish("stop", Usage(5, 1, 0), 0.0)
    assert (short.first, short.gaps) == (2.0, [])


def test_choices_side_by_side_have_times_of_their_own(clock: Clock) -> None:
    record = InferenceRecord("m", "chat", 10.0, stream=True)
    for clock.now, choice in ((11.0, 0), (12.0, 1), (15.0, 0), (20.0, 1)):
        record.tick(choice)
    record.finish("stop", Usage(5, 3, 0), 0.0, 0)
    record.finish("stop", Usage(0, 5, 0), 0.0, 1)
    assert record.first == 1.0
    assert record.gaps == [2.0, 2.0]
    assert record.stall == 8.0
    assert record.usage == Usage(5, 8, 0)
