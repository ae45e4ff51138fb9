"""A child of the launcher: how it learns its configuration and when to leave."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

PROGRAM = """
import asyncio
import msgspec
from xinfer.core.child import Leave, announce_ready, read_config

class Config(msgspec.Struct):
    name: str

config = read_config(Config)

async def main():
    leave = Leave()
    announce_ready(name=config.name)
    await leave.asked.wait()
    print("orphaned" if leave.orphaned.is_set() else "asked")

asyncio.run(main())
"""


@contextmanager
def child(first_line: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(first_line)
    process.stdin.flush()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def test_it_says_ready_with_facts_and_leaves_on_sigterm() -> None:
    with child('{"name": "é"}\n') as process:
        assert process.stdout is not None
        word, _, facts = process.stdout.readline().partition(" ")
        assert (word, json.loads(facts)) == ("ready", {"name": "é"})
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "asked\n"
        assert process.wait() == 0


def test_the_end_of_stdin_makes_it_an_orphan() -> None:
    with child('{"name": "a"}\n') as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        process.stdin.close()
        assert process.stdout.read() == "orphaned\n"


def test_it_does_not_start_without_a_configuration() -> None:
    with child("") as process:
        _, errors = process.communicate()
        assert process.returncode == 1
        assert errors == (
            "The configuration is expected as a line of JSON on stdin; stdin ended.\n"
        )


def test_a_wrong_configuration_is_told_with_its_field() -> None:
    with child('{"name": 5}\n') as process:
        _, errors = process.communicate()
        assert process.returncode == 1
        assert "Expected `str`, got `int` - at `$.name`" in errors
        assert "Traceback" not in errors
