from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from xinfer.model.engine import TokenEvent, TokenRequest
from xinfer.model.llm.echo import EchoEngine, EchoOptions
from xinfer.model.llm.echo.command import Command, parse_command
from xinfer.types.model import ModelSpec

SOON = 10.0


def echo(*, commands: bool = True) -> EchoEngine:
    return EchoEngine(ModelSpec(name="echo"), EchoOptions(commands=commands))


def request(prompt: str, id: int = 1, resume: str = "", max_tokens: int = 100) -> TokenRequest:
    return TokenRequest(
        id=id,
        prompt=list(prompt.encode()),
        max_tokens=max_tokens,
        resume=list(resume.encode()),
    )


async def collect(engine: EchoEngine) -> list[TokenEvent]:
    made = []
    async for events in engine.steps():
        made += events
        if engine.stats().running == 0:
            engine.close()
    return made


def run(engine: EchoEngine, *requests: TokenRequest) -> list[TokenEvent]:
    for item in requests:
        engine.submit(item)
    return asyncio.run(asyncio.wait_for(collect(engine), SOON))


def text(events: list[TokenEvent], id: int = 1) -> str:
    return b"".join(bytes(event.ids) for event in events if event.id == id).decode()


@pytest.mark.parametrize(
    ("prompt", "command"),
    [
        ("!fail", Command("fail", 0)),
        ("!fail 3", Command("fail", 3)),
        ("!stall 2 and some words", Command("stall", 2)),
        ("!oom", Command("oom", 0)),
        ("!die 5", Command("die", 5)),
        ("!exit", Command("exit", 0, 1)),
        ("!exit 0", Command("exit", 0, 0)),
        ("!exit 7 20", Command("exit", 20, 7)),
        ("!failure", None),
        ("!unknown", None),
        (" !die", None),
        ("die", None),
        ("", None),
    ],
)
def test_commands_are_words_at_the_beginning(prompt: str, command: Command | None) -> None:
    assert parse_command(list(prompt.encode())) == command


def test_without_the_option_a_command_is_a_prompt_like_any_other() -> None:
    assert text(run(echo(commands=False), request("!fail"))) == "!fail"


def test_fail_ends_its_own_request_and_no_other() -> None:
    events = run(echo(), request("!fail 9", id=1), request("hello", id=2))
    assert text(events, 1) == "!fail 9!f"
    last = next(event for event in events if event.id == 1 and event.finish)
    assert last.finish == "error"
    assert last.failure is not None
    assert (last.failure.kind, "fail" in last.failure.message) == ("EngineFailed", True)
    assert text(events, 2) == "hello"


def test_max_tokens_comes_before_the_command() -> None:
    events = run(echo(), request("!fail 9", max_tokens=4))
    assert (text(events), events[-1].finish) == ("!fai", "length")


def test_stall_makes_no_more_tokens_while_others_go_on() -> None:
    async def scenario() -> list[TokenEvent]:
        engine = echo()
        engine.submit(request("!stall 3", id=1))
        engine.submit(request("a longer prompt", id=2))
        made = []
        async for events in engine.steps():
            made += events
            if any(event.id == 2 and event.finish for event in events):
                engine.abort(1)
            if engine.stats().running == 0 and made[-1].finish == "abort":
                engine.close()
        return made

    events = asyncio.run(asyncio.wait_for(scenario(), SOON))
    assert text(events, 1) == "!st"
    assert text(events, 2) == "a longer prompt"
    assert [event.finish for event in events if event.finish] == ["stop", "abort"]


def test_oom_breaks_the_whole_engine() -> None:
    with pytest.raises(MemoryError):
        run(echo(), request("!oom", id=1), request("hello", id=2))


def test_a_resumed_request_is_not_struck_again() -> None:
    events = run(echo(), request("!fail 3", resume="!fa"))
    assert (text(events), events[-1].finish) == ("il 3", "stop")


PROGRAM = """
import asyncio, os, sys
from xinfer.model.engine import TokenRequest
from xinfer.model.llm.echo import EchoEngine, EchoOptions
from xinfer.types.model import ModelSpec

async def main():
    engine = EchoEngine(ModelSpec(name="echo"), EchoOptions(commands=True))
    engine.submit(TokenRequest(id=1, prompt=list(sys.argv[1].encode()), max_tokens=100))
    async for events in engine.steps():
        for event in events:
            os.write(1, bytes(event.ids))

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("prompt", "output", "code"), [("!die 5", b"!die ", -9), ("!exit 3 2", b"!e", 3)]
)
def test_the_process_ends_after_the_tokens_have_been_handed_over(
    prompt: str, output: bytes, code: int
) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, prompt], env=environment, capture_output=True, timeout=60
    )
    assert (result.stdout, result.returncode) == (output, code)
