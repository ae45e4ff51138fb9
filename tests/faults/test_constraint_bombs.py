"""Schemas, regular expressions and grammars that are made to be expensive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.server import Server
from tests.support.sse import read_stream
from tests.support.waiting import eventually

TOKENS = 400
BOUND = 10 * TOKENS
"""Lines of a stream that may pass by until a costly constraint is refused."""
HI = [{"role": "user", "content": "Hello"}]


HARD = "((a{0,99}){0,99}){0,99}"


def _nested(depth: int) -> Any:
    return {"type": "array", "items": _nested(depth - 1)} if depth else {"type": "null"}


def _doubling() -> dict[str, Any]:
    """Each definition has the one before twice over, in ways that have to be multiplied out."""
    definitions: dict[str, Any] = {"a0": {"type": "string"}}
    for number in range(1, 25):
        inner = {"$ref": f"#/$defs/a{number - 1}"}
        definitions[f"a{number}"] = {"anyOf": [inner, {"allOf": [inner, inner]}]}
    return {"$defs": definitions, "$ref": "#/$defs/a24"}


def _choices_of_choices() -> dict[str, Any]:
    return {
        "allOf": [
            {"anyOf": [{"properties": {f"p{n}{m}": {"type": "string"}}} for m in range(8)]}
            for n in range(8)
        ]
    }


def _forced(parameters: Any) -> dict[str, Any]:
    function = {"name": "f", "parameters": parameters}
    return {"tool_choice": "required", "tools": [{"type": "function", "function": function}]}


BOMBS: dict[str, dict[str, Any]] = {
    "call": _forced({"properties": {"a": {"type": "string", "pattern": HARD}}}),
    "long call": _forced({"properties": {"a": {"type": "array", "minItems": 10**6}}}),
    "behind thoughts": {
        "guided_regex": "(x{1000}){1000}",
        "enable_thinking": True,
    },
    "values": {"guided_json": {"enum": [f"v{number}" for number in range(10_000)]}},
    "nesting": {"guided_json": json.dumps(_nested(200))},
    "doubling": {"guided_json": _doubling()},
    "choices of choices": {"guided_json": _choices_of_choices()},
    "endless reference": {"guided_json": {"$ref": "#"}},
    "items": {"guided_json": {"type": "array", "minItems": 10**6}},
    "multiples": {"guided_json": {"type": "integer", "multipleOf": 999_983}},
    "pattern": {"guided_json": {"type": "string", "pattern": HARD}},
    "repetitions": {"guided_regex": "(x{1000}){1000}"},
    "groups": {"guided_regex": "(" * 1000 + "a" + ")*" * 1000},
    "choices": {"guided_choice": [f"v{number}" for number in range(10_000)]},
    "brackets": {"guided_grammar": "root ::= " + "(" * 10_000 + '"a"' + ")" * 10_000},
}

READINGS = 'root ::= a{60,}\na ::= x | x x | x a\nx ::= "a" | "aa" | a'
"""A text of it can be read in more ways the longer it gets."""


@pytest.fixture(scope="module", params=["llama-cpp-python", "xllamacpp"])
def uid(server: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    yield server.launch("tiny-chat", model_engine=request.param, model_uid="bombed")
    server.terminate("bombed")


class Beside:
    """Streams one answer after the other, and counts what comes."""

    def __init__(self, server: Server, uid: str) -> None:
        self.events = 0
        self.stopping = False
        self._body = {"model": uid, "messages": HI, "stream": True, "max_tokens": TOKENS}
        self._body |= {"ignore_eos": True, "stream_options": {"include_usage": True}}
        self._server = server

    def run(self) -> int:
        """Stream until `stopping`; returns how many answers came, each of them whole."""
        answers = 0
        while not self.stopping:
            with self._server.http.stream(
                "POST", "/v1/chat/completions", json=self._body
            ) as answer:
                chunks = read_stream(self._counted(answer.iter_lines())).chunks
            assert chunks[-1]["usage"]["completion_tokens"] == TOKENS
            answers += 1
        return answers

    def _counted(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            self.events += 1
            yield line


def test_s10_costly_constraints_are_refused_within_a_bound_and_a_stream_beside_them_goes_on(
    server: Server, uid: str
) -> None:
    beside = Beside(server, uid)
    with ThreadPoolExecutor() as threads:
        running = threads.submit(beside.run)
        try:
            assert eventually(lambda: beside.events > 0)
            for name, fields in BOMBS.items():
                before = beside.events
                body = {"model": uid, "messages": HI, "max_tokens": 200, **fields}
                answer = server.http.post("/v1/chat/completions", json=body)
                passed = beside.events - before
                assert answer.status_code == 400, (name, answer.text)
                assert answer.json()["error"]["param"] == next(iter(fields)), (name, answer.text)
                assert passed < BOUND, name
            body = {"model": uid, "messages": HI, "max_tokens": 60, "guided_grammar": READINGS}
            before = beside.events
            answer = server.http.post("/v1/chat/completions", json=body)
            assert answer.status_code in (200, 400), answer.text
            assert beside.events > before  # it takes as many steps of the stream as of its own
            done = beside.events
            assert eventually(lambda: beside.events > done)
        finally:
            beside.stopping = True
        assert running.result() > 0
