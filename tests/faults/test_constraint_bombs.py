"""Schemas, regular expressions and grammars that are made to be expensive."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.server import Server
from tests.support.sse import read_stream

TOKENS = 900
HI = [{"role": "user", "content": "Hello"}]


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


_CHAIN = "".join(f"a{n} ::= a{n + 1} a{n + 1}\n" for n in range(30))

BOMBS: dict[str, dict[str, Any]] = {
    "values": {"guided_json": {"enum": [f"v{number}" for number in range(10_000)]}},
    "nesting": {"guided_json": json.dumps(_nested(200))},
    "doubling": {"guided_json": _doubling()},
    "choices of choices": {"guided_json": _choices_of_choices()},
    "endless reference": {"guided_json": {"$ref": "#"}},
    "items": {"guided_json": {"type": "array", "minItems": 10**6}},
    "multiples": {"guided_json": {"type": "integer", "multipleOf": 999_983}},
    "pattern": {"guided_json": {"type": "string", "pattern": "((a{0,99}){0,99}){0,99}"}},
    "repetitions": {"guided_regex": "(x{1000}){1000}"},
    "groups": {"guided_regex": "(" * 1000 + "a" + ")*" * 1000},
    "choices": {"guided_choice": [f"v{number}" for number in range(10_000)]},
    "brackets": {"guided_grammar": "root ::= " + "(" * 10_000 + '"a"' + ")" * 10_000},
    "readings": {"guided_grammar": f'root ::= a0 "b"\n{_CHAIN}a30 ::= "a"?'},
}


@pytest.fixture(scope="module")
def uid(server: Server) -> Iterator[str]:
    yield server.launch("tiny-chat", model_engine="llama-cpp-python", model_uid="bombed")
    server.terminate("bombed")


def test_s10_costly_constraints_are_refused_before_a_stream_beside_them_has_ended(
    server: Server, uid: str
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def noted(lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            begun.set()
            yield line

    def stream() -> int:
        body = {"model": uid, "messages": HI, "stream": True, "ignore_eos": True}
        body |= {"max_tokens": TOKENS, "stream_options": {"include_usage": True}}
        try:
            with server.http.stream("POST", "/v1/chat/completions", json=body) as answer:
                chunks = read_stream(noted(answer.iter_lines())).chunks
        finally:
            begun.set()
            ended.set()
        return int(chunks[-1]["usage"]["completion_tokens"])

    for name, fields in BOMBS.items():
        begun.clear()
        ended.clear()
        with ThreadPoolExecutor() as threads:
            beside = threads.submit(stream)
            assert begun.wait(60)
            body = {"model": uid, "messages": HI, "max_tokens": 200, **fields}
            answer = server.http.post("/v1/chat/completions", json=body)
            early = not ended.is_set()
            assert beside.result() == TOKENS
        assert answer.status_code == 400, (name, answer.text)
        assert answer.json()["error"]["param"] == next(iter(fields)), answer.text
        assert early, name
