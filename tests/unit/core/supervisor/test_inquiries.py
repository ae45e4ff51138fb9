"""Whose word on engines is taken."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.core.supervisor.support import FakeWorkers, cluster_state, report, run, unreachable
from xinfer.core.launch_question import EngineAnswers
from xinfer.core.supervisor.inquiries import Inquiries
from xinfer.types.deployment import LaunchSpec


def told(answers: dict[str, EngineAnswers], workers: FakeWorkers | None = None) -> EngineAnswers:
    """What is told where this machine has the engine `echo`, and workers those they tell of."""
    workers = workers or FakeWorkers()
    workers.engine_answers = answers
    state = cluster_state()
    for number, (address, engines) in enumerate(answers.items()):
        one = report(worker_id=f"w{number}", address=address)
        state.apply(msgspec.structs.replace(one, engines=dict.fromkeys(engines, ())), 0.0)
    found: list[EngineAnswers] = []

    async def main() -> None:
        own: EngineAnswers = {"echo": [{"model_format": "here"}], "vllm": "It is not installed."}
        inquiries = Inquiries(
            state, workers, lambda spec, host: own, lambda: 0.0, installed=lambda: {"echo"}
        )
        found.append(await inquiries.engines(LaunchSpec(model_name="m")))

    run(main)
    return found[0]


def test_of_engines_that_only_workers_have_one_of_those_is_asked() -> None:
    answers: dict[str, EngineAnswers] = {
        "a:1": {"echo": "not taken", "vllm": [{"model_format": "there"}]},
        "b:1": {"echo": "not taken", "vllm": [{"model_format": "there"}]},
        "c:1": {"parrot": "It runs another model."},
    }
    workers = FakeWorkers()
    assert told(answers, workers) == {
        "echo": [{"model_format": "here"}],
        "vllm": [{"model_format": "there"}],
        "parrot": "It runs another model.",
    }
    assert len(workers.questions) == 2


def test_where_workers_have_no_other_engines_none_is_asked() -> None:
    workers = FakeWorkers()
    assert told({"a:1": {"echo": "not taken"}}, workers)["vllm"] == "It is not installed."
    assert workers.questions == []


def test_a_worker_that_does_not_answer_is_named_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    workers = FakeWorkers()
    workers.failing["engines at a:1"] = unreachable()
    answers: dict[str, EngineAnswers] = {"a:1": {"vllm": []}}
    assert told(answers, workers)["vllm"] == "It is not installed."
    assert "Worker a:1 tells no engines" in caplog.text
