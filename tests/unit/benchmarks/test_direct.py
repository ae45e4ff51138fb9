"""An engine that is driven with nothing around it does what a server would ask of it."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.direct import WrongOutput, drive
from benchmarks.plan import Outcome
from xinfer.model.engine import TokenRequest
from xinfer.model.llm.echo import EchoEngine
from xinfer.model.llm.echo.options import EchoOptions
from xinfer.types.model import ModelSpec
from xinfer.types.request import Sampling


class Watched(EchoEngine):
    """Counts what it runs at once."""

    most = 0

    def submit(self, request: TokenRequest) -> None:
        super().submit(request)
        self.most = max(self.most, self.stats().running)


def driven(engine: EchoEngine, requests: list[TokenRequest], streams: int) -> Outcome:
    async def work() -> Outcome:
        return await drive(engine, engine.steps(), requests, streams)

    return asyncio.run(work())


def requests(count: int, *, ignore_eos: bool = True) -> list[TokenRequest]:
    sampling = Sampling(ignore_eos=ignore_eos)
    return [
        TokenRequest(id=number, prompt=[65, 66], max_tokens=5, sampling=sampling)
        for number in range(count)
    ]


def test_all_requests_are_carried_out_and_no_more_at_a_time_than_asked_for() -> None:
    engine = Watched(ModelSpec(name="echo"), EchoOptions())
    outcome = driven(engine, requests(7), streams=3)
    assert outcome.items == 7 * 5
    assert engine.most == 3
    assert len(outcome.firsts) == len(outcome.latencies) == 7
    assert outcome.processor.keys() == {"engine"}


def test_an_answer_that_ends_early_is_not_counted() -> None:
    engine = EchoEngine(ModelSpec(name="echo"), EchoOptions())
    with pytest.raises(WrongOutput, match="then stop"):
        driven(engine, requests(1, ignore_eos=False), streams=1)


def test_an_engine_that_stops_by_itself_is_not_waited_for() -> None:
    engine = EchoEngine(ModelSpec(name="echo"), EchoOptions())
    engine.close()
    with pytest.raises(WrongOutput, match="stopped by itself"):
        driven(engine, requests(1), streams=1)
