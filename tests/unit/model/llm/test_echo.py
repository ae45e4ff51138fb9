from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinfer.errors import Cancelled, EngineFailed, InvalidRequest, Unavailable
from xinfer.model.engine import Logprob, TokenEngine, TokenEvent, TokenRequest, parse_options
from xinfer.model.llm.echo import ByteTokenizer, EchoEngine, EchoOptions
from xinfer.types.model import ModelSpec, Progress
from xinfer.types.request import Sampling

SPEC = ModelSpec(name="echo")
HOUR = 3600.0
SOON = 10.0
"""Seconds after which a test has failed; far below HOUR."""


def echo(**options: Any) -> TokenEngine:
    return EchoEngine(SPEC, EchoOptions(**options))


def request(
    id: int,
    prompt: str = "hello",
    max_tokens: int = 100,
    resume: Sequence[int] = (),
    **sampling: Any,
) -> TokenRequest:
    return TokenRequest(
        id=id,
        prompt=list(prompt.encode()),
        max_tokens=max_tokens,
        resume=list(resume),
        sampling=Sampling(**sampling),
    )


async def collect(engine: TokenEngine) -> list[list[TokenEvent]]:
    """The steps until nothing is left running."""
    steps = []
    async for events in engine.steps():
        steps.append(events)
        if engine.stats().running == 0:
            engine.close()
    return steps


def run(engine: TokenEngine, *requests: TokenRequest) -> list[list[TokenEvent]]:
    for item in requests:
        engine.submit(item)
    return asyncio.run(asyncio.wait_for(collect(engine), SOON))


def outputs(steps: list[list[TokenEvent]]) -> dict[int, tuple[bytes, str | None]]:
    """Bytes and finish reason by request."""
    result: dict[int, tuple[bytes, str | None]] = {}
    for event in (event for events in steps for event in events):
        ids, finish = result.get(event.id, (b"", None))
        assert finish is None
        result[event.id] = (ids + bytes(event.ids), event.finish)
    return result


def test_a_prompt_is_repeated_once() -> None:
    assert outputs(run(echo(), request(1))) == {1: (b"hello", "stop")}


def test_max_tokens_ends_it_with_length_and_its_last_token() -> None:
    steps = run(echo(), request(1, max_tokens=2))
    assert steps[-1] == [TokenEvent(1, [ord("e")], "length")]
    assert outputs(steps) == {1: (b"he", "length")}


def test_a_prompt_as_long_as_max_tokens_ends_with_length_as_a_models_would() -> None:
    assert outputs(run(echo(), request(1, max_tokens=5))) == {1: (b"hello", "length")}


def test_ignore_eos_repeats_the_prompt_until_max_tokens() -> None:
    steps = run(echo(), request(1, "abc", 8, ignore_eos=True))
    assert outputs(steps) == {1: (b"abcabcab", "length")}


@pytest.mark.parametrize(("asked", "top"), [(0, []), (1, [0]), (20, [0])])
def test_an_echo_is_certain_of_its_tokens(asked: int, top: list[int]) -> None:
    steps = run(echo(tokens_per_step=2), request(1, "abc", logprobs=asked))
    events = [event for events in steps for event in events]
    assert [event.logprobs for event in events] == [
        [Logprob(0.0, [(token, 0.0) for _ in top]) for token in event.ids] for event in events
    ]
    assert sum(len(event.logprobs) for event in events) == 3


def test_an_echo_tells_no_log_probabilities_unless_asked() -> None:
    assert all(not event.logprobs for events in run(echo(), request(1)) for event in events)


def test_log_probabilities_are_an_ability_and_not_a_sampling_field() -> None:
    abilities = echo().load(lambda _: None).abilities
    assert abilities.logprobs
    assert "logprobs" not in abilities.sampling
    assert {"temperature", "mirostat", "dry_base"} <= abilities.sampling


def test_a_step_has_one_event_for_every_running_request() -> None:
    steps = run(echo(), *(request(id, "ab") for id in range(3)))
    assert [[(event.id, event.ids) for event in events] for events in steps] == [
        [(id, [ord("a")]) for id in range(3)],
        [(id, [ord("b")]) for id in range(3)],
        [(id, []) for id in range(3)],
    ]


@given(
    prompt=st.text(min_size=1, max_size=10),
    max_tokens=st.integers(1, 40),
    tokens_per_step=st.integers(1, 7),
    ignore_eos=st.booleans(),
    cut=st.integers(0, 40),
)
def test_output_and_resumed_output_are_the_same_at_every_pace(
    prompt: str, max_tokens: int, tokens_per_step: int, ignore_eos: bool, cut: int
) -> None:
    whole = prompt.encode() * (max_tokens if ignore_eos else 1)
    reason = "length" if len(whole) >= max_tokens else "stop"
    whole = whole[:max_tokens]
    engine = echo(tokens_per_step=tokens_per_step)
    steps = run(engine, request(1, prompt, max_tokens, ignore_eos=ignore_eos))
    assert outputs(steps) == {1: (whole, reason)}
    assert engine.stats().completion_tokens == len(whole)
    assert len(steps) == len(whole) // tokens_per_step + (
        reason == "stop" or len(whole) % tokens_per_step > 0
    )
    resumed = request(1, prompt, max_tokens, whole[:cut], ignore_eos=ignore_eos)
    assert outputs(run(echo(tokens_per_step=tokens_per_step), resumed)) == {
        1: (whole[cut:], reason)
    }


def test_steps_keep_their_distance() -> None:
    start = time.monotonic()
    run(echo(token_interval=0.02), request(1, "abc"))
    assert time.monotonic() - start >= 0.06


def test_the_first_token_waits_for_the_prefill() -> None:
    start = time.monotonic()
    run(echo(prefill_seconds=0.05), request(1, "a"))
    assert time.monotonic() - start >= 0.05


def test_one_requests_prefill_does_not_hold_up_another() -> None:
    async def scenario() -> list[int]:
        engine = echo(prefill_seconds=0.5)
        engine.submit(request(1))
        order: list[int] = []
        async for events in engine.steps():
            if not order:
                engine.submit(request(2))
            order += [event.id for event in events]
            if engine.stats().running == 0:
                engine.close()
        return order

    order = asyncio.run(asyncio.wait_for(scenario(), SOON))
    assert order == [1] * 6 + [2] * 6


@pytest.mark.parametrize(
    ("options", "prompt"),
    [
        ({}, "hello"),
        ({"token_interval": HOUR}, "hello"),
        ({"prefill_seconds": HOUR}, "hello"),
        ({"commands": True}, "!stall"),
    ],
)
def test_an_abort_takes_effect_before_the_next_step(options: dict[str, Any], prompt: str) -> None:
    async def scenario() -> list[TokenEvent]:
        engine = echo(**options)
        engine.submit(request(1, prompt))
        reader = asyncio.ensure_future(collect(engine))
        await asyncio.sleep(0)
        engine.abort(1)
        return (await asyncio.wait_for(reader, SOON))[-1]

    assert asyncio.run(scenario()) == [TokenEvent(1, [], "abort")]


def test_an_abort_of_an_ended_or_unknown_request_changes_nothing() -> None:
    engine = echo()
    engine.abort(1)
    assert outputs(run(engine, request(2))) == {2: (b"hello", "stop")}


def test_a_request_that_comes_later_joins_those_that_run() -> None:
    async def scenario() -> list[list[TokenEvent]]:
        engine = echo()
        engine.submit(request(1, "abc"))
        seen = []
        async for events in engine.steps():
            seen.append(events)
            if len(seen) == 1:
                engine.submit(request(2, "x"))
            if engine.stats().running == 0:
                engine.close()
        return seen

    steps = asyncio.run(asyncio.wait_for(scenario(), SOON))
    assert [[event.id for event in events] for events in steps] == [[1], [1, 2], [1, 2], [1]]


def test_an_idle_engine_wakes_for_a_request_and_ends_when_closed_from_another_thread() -> None:
    async def scenario() -> list[list[TokenEvent]]:
        engine = echo()
        seen: list[list[TokenEvent]] = []
        finished = asyncio.Event()

        async def read() -> None:
            async for events in engine.steps():
                seen.append(events)
                if events[-1].finish:
                    finished.set()

        reader = asyncio.ensure_future(read())
        await asyncio.sleep(0)
        engine.submit(request(1, "a"))
        await asyncio.wait_for(finished.wait(), SOON)
        thread = Thread(target=engine.close)
        thread.start()
        await asyncio.wait_for(reader, SOON)
        thread.join()
        return seen

    assert outputs(asyncio.run(scenario())) == {1: (b"a", "stop")}


def test_more_requests_than_it_takes_at_once_are_a_callers_mistake() -> None:
    engine = echo(concurrency=1)
    engine.submit(request(1))
    with pytest.raises(RuntimeError, match="1 requests at once"):
        engine.submit(request(2))


def test_stats_count_requests_and_tokens() -> None:
    engine = echo()
    engine.submit(request(1))
    assert engine.stats().running == 1
    run(engine, request(2, "abc"))
    stats = engine.stats()
    assert (stats.running, stats.prompt_tokens, stats.completion_tokens) == (0, 8, 8)


def test_load_reports_progress_and_what_the_options_say() -> None:
    seen: list[Progress] = []
    loaded = echo(context_length=100, concurrency=3).load(seen.append)
    assert (loaded.context_length, loaded.concurrency) == (100, 3)
    assert loaded.abilities.resume
    assert "temperature" in loaded.abilities.sampling
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)


def test_load_takes_the_time_it_is_told() -> None:
    start = time.monotonic()
    echo(load_seconds=0.05).load(lambda progress: None)
    assert time.monotonic() - start >= 0.05


def test_closing_ends_a_load() -> None:
    engine = echo(load_seconds=HOUR)
    with pytest.raises(Cancelled):
        engine.load(lambda progress: engine.close())


def test_a_load_fails_with_the_message_it_is_given() -> None:
    with pytest.raises(EngineFailed, match="no luck"):
        echo(fail_on_load="no luck").load(lambda progress: None)


def test_a_load_runs_out_of_memory_when_told() -> None:
    with pytest.raises(Unavailable, match="memory") as caught:
        echo(oom_on_load=True).load(lambda progress: None)
    assert caught.value.code == "no_capacity"


@pytest.mark.parametrize("code", [3, -9])
def test_a_load_ends_the_process_when_told(code: int) -> None:
    program = (
        "from xinfer.model.llm.echo import EchoEngine, EchoOptions\n"
        "from xinfer.types.model import ModelSpec\n"
        f"engine = EchoEngine(ModelSpec(name='echo'), EchoOptions(die_on_load={code}))\n"
        "engine.load(lambda progress: None)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", program], env=environment, timeout=60)
    assert result.returncode == code


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("token_interval", -1),
        ("tokens_per_step", 0),
        ("concurrency", 0),
        ("context_length", 1 << 21),
        ("context_length", "many"),
        ("pace", 1),
    ],
)
def test_bad_options_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=name) as caught:
        parse_options(EchoEngine, "echo", {name: value})
    assert caught.value.param == name


def test_it_runs_no_model_that_has_files() -> None:
    assert EchoEngine.support(SPEC).ok
    support = EchoEngine.support(ModelSpec(name="qwen", format="ggufv2", path="/models/qwen.gguf"))
    assert not support.ok
    assert "qwen" in support.reason


@given(st.text())
def test_tokens_are_the_bytes_of_the_text(text: str) -> None:
    tokenizer = ByteTokenizer()
    ids = tokenizer.encode(text, special=True)
    assert b"".join(map(tokenizer.piece, ids)) == text.encode()


@pytest.mark.parametrize("token", [-1, 257])
def test_an_unknown_token_has_no_piece(token: int) -> None:
    with pytest.raises(IndexError):
        ByteTokenizer().piece(token)


def test_the_end_of_the_text_has_no_bytes() -> None:
    tokenizer = ByteTokenizer()
    assert [tokenizer.piece(token) for token in tokenizer.eos_ids] == [b""]
    assert tokenizer.vocabulary_size == 257
