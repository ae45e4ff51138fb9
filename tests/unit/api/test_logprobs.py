"""Log-probabilities in OpenAI's shapes, whole and in streams."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from tests.unit.api.fakes import USAGE, Api, Script
from xinfer.api.schemas.answers import ChatAnswer, CompletionAnswer
from xinfer.types.event import Delta, Finished, LogprobDelta, TokenLogprob

pytestmark = pytest.mark.anyio

LOW = -9999.0
FIRST, SECOND, THIRD = (bytes([byte]) for byte in "中".encode())


def script(*deltas: Delta) -> Script:
    return [[delta] for delta in deltas] + [[Finished(1, "stop", USAGE)]]


def delta(text: str, *logprobs: TokenLogprob) -> Delta:
    return LogprobDelta(1, text, [], logprobs)


def answers() -> Script:
    """`a中b`, the 中 of three tokens; then a token's second half, which has none."""
    return script(
        delta("a", TokenLogprob(b"a", -0.5, ((b"A", -0.25), (b"a", -0.5)))),
        delta("中", *(TokenLogprob(byte, -1.0, ((byte, -1.0),)) for byte in (FIRST, SECOND))),
        delta("b", TokenLogprob(THIRD, -math.inf), TokenLogprob(b"b", 0.0, ((b"\xff", -2.0),))),
        Delta(1, "!", []),
    )


def chunks(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line)["choices"][0] for line in lines]


def candidate(token: str, logprob: float, data: bytes | None = None) -> dict[str, Any]:
    data = token.encode() if data is None else data
    return {"token": token, "logprob": logprob, "bytes": list(data)}


CHAT = [
    {**candidate("a", -0.5), "top_logprobs": [candidate("A", -0.25), candidate("a", -0.5)]},
    {
        **candidate("\\xe4", -1.0, FIRST),
        "top_logprobs": [candidate("\\xe4", -1.0, FIRST)],
    },
    {
        **candidate("\\xb8", -1.0, SECOND),
        "top_logprobs": [candidate("\\xb8", -1.0, SECOND)],
    },
    {**candidate("\\xad", LOW, THIRD), "top_logprobs": []},
    {**candidate("b", 0.0), "top_logprobs": [candidate("\\xff", -2.0, b"\xff")]},
]
TEXT = {
    "tokens": ["a", "bytes:\\xe4", "bytes:\\xb8", "bytes:\\xad", "b"],
    "token_logprobs": [-0.5, -1.0, -1.0, LOW, 0.0],
    "top_logprobs": [
        {"A": -0.25, "a": -0.5},
        {"bytes:\\xe4": -1.0},
        {"bytes:\\xb8": -1.0},
        {"bytes:\\xad": LOW},
        {"bytes:\\xff": -2.0, "b": 0.0},
    ],
    "text_offset": [0, 1, 1, 1, 2],
}


async def test_a_chat_answer_tells_each_token_and_its_alternatives() -> None:
    api = Api()
    api.gateway.scripts = [answers()]
    body = (await api.chat(logprobs=True, top_logprobs=2)).json()
    assert body["choices"][0]["message"]["content"] == "a中b!"
    assert body["choices"][0]["logprobs"] == {"content": CHAT, "refusal": None}
    ChatAnswer.model_validate(body, strict=True)


async def test_a_chat_stream_tells_them_with_their_text() -> None:
    api = Api()
    api.gateway.scripts = [answers()]
    made = chunks((await api.chat(stream=True, logprobs=True, top_logprobs=2)).text)
    told = [(chunk["delta"].get("content"), chunk["logprobs"]) for chunk in made]
    assert told == [
        ("", None),
        ("a", {"content": CHAT[:1], "refusal": None}),
        ("中", {"content": CHAT[1:3], "refusal": None}),
        ("b", {"content": CHAT[3:], "refusal": None}),
        ("!", None),
        (None, None),
    ]


async def test_a_completion_tells_them_in_columns() -> None:
    api = Api()
    api.gateway.scripts = [answers()]
    body = (await api.complete(logprobs=2)).json()
    assert body["choices"][0]["text"] == "a中b!"
    assert body["choices"][0]["logprobs"] == TEXT
    CompletionAnswer.model_validate(body, strict=True)


async def test_a_streamed_completion_tells_the_same_columns_in_pieces() -> None:
    api = Api()
    api.gateway.scripts = [answers(), answers()]
    response = await api.complete(stream=True, logprobs=2, prompt=["one", "two"])
    made = chunks(response.text)
    for index in (0, 1):
        told = [c["logprobs"] for c in made if c["index"] == index and c["logprobs"]]
        assert len(told) == 3
        assert {name: [x for one in told for x in one[name]] for name in TEXT} == TEXT


async def test_what_is_asked_for_reaches_the_request() -> None:
    api = Api()
    await api.chat(logprobs=True)
    await api.chat(logprobs=True, top_logprobs=20)
    await api.chat(logprobs=False, top_logprobs=0)
    await api.complete(logprobs=0)
    await api.complete(logprobs=20)
    await api.complete()
    asked = [request.sampling.logprobs for request in api.gateway.requests]
    assert asked == [0, 20, None, 0, 20, None]


async def test_an_answer_without_tokens_has_none_to_tell() -> None:
    api = Api()
    api.gateway.scripts = [script(), script()]
    chat = (await api.chat(logprobs=True)).json()
    assert chat["choices"][0]["logprobs"] == {"content": [], "refusal": None}
    text = (await api.complete(logprobs=1)).json()
    assert text["choices"][0]["logprobs"] == {name: [] for name in TEXT}


async def test_what_is_no_number_is_told_as_one() -> None:
    api = Api()
    api.gateway.scripts = [script(delta("a", TokenLogprob(b"a", math.nan)))]
    body = (await api.chat(logprobs=True)).json()
    assert body["choices"][0]["logprobs"]["content"][0]["logprob"] == LOW


async def test_tokens_without_text_make_a_chunk_of_their_own() -> None:
    api = Api()
    api.gateway.scripts = [script(delta("", TokenLogprob(b"", -1.0)))]
    made = chunks((await api.chat(stream=True, logprobs=True)).text)
    told = [chunk["logprobs"]["content"] for chunk in made if chunk["logprobs"]]
    assert told == [[{**candidate("", -1.0), "top_logprobs": []}]]


@pytest.mark.parametrize("text", ["x", "\x01" * 20_000, ""])
async def test_many_at_once_are_told_once_each_in_lines_that_every_reader_takes(text: str) -> None:
    api = Api()
    top = tuple((b"\x01" * 20, -1.0 / 3) for _ in range(20))
    many = [TokenLogprob(b"%d" % number, -1.0 / 3, top) for number in range(500)]
    api.gateway.scripts = [script(delta(text, *many))]
    response = await api.chat(stream=True, logprobs=True, top_logprobs=20)
    assert max(len(line.encode()) for line in response.text.split("\n\n")) < 64 << 10
    made = chunks(response.text)
    assert "".join(chunk["delta"].get("content", "") for chunk in made) == text
    told = [one for chunk in made if chunk["logprobs"] for one in chunk["logprobs"]["content"]]
    assert [one["token"] for one in told] == [str(number) for number in range(500)]
