"""Log-probabilities in OpenAI's two shapes: of chat, and of text completions."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Iterator, Sequence
from typing import Any

from xinfer.types.event import TokenLogprob

_LOWEST = -9999.0
"""Stands for minus infinity, which JSON does not have; vLLM answers the same number."""

_MAX_GROUP = 12 << 10
"""Bytes of JSON, about: they share a line of 64 KiB with up to 48 KiB of text."""

_Utf8Decoder = getincrementaldecoder("utf-8")


def chat_logprobs(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """The `logprobs` of a chat choice."""
    return {
        "content": [
            {
                **_candidate(one.token, one.logprob),
                "top_logprobs": [_candidate(token, logprob) for token, logprob in one.top],
            }
            for one in tokens
        ],
        "refusal": None,
    }


class TextLogprobs:
    """The `logprobs` of a completion's choice, in one piece or several: offsets go on."""

    def __init__(self) -> None:
        self._decoder = _Utf8Decoder("replace")
        self._offset = 0

    def __call__(self, tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
        return {
            "tokens": [_name(one.token) for one in tokens],
            "token_logprobs": [_finite(one.logprob) for one in tokens],
            "top_logprobs": [_alternatives(one) for one in tokens],
            "text_offset": [self._advance(one.token) for one in tokens],
        }

    def _advance(self, token: bytes) -> int:
        """The character of the text that a token begins in, or continues."""
        offset = self._offset
        self._offset += len(self._decoder.decode(token))
        return offset


def groups(tokens: Sequence[TokenLogprob]) -> Iterator[Sequence[TokenLogprob]]:
    """As many at a time as make no line too long."""
    start, size = 0, 0
    for position, one in enumerate(tokens):
        size += _json_size(one)
        if size > _MAX_GROUP and position > start:
            yield tokens[start:position]
            start, size = position, _json_size(one)
    if start < len(tokens):
        yield tokens[start:]


def _json_size(one: TokenLogprob) -> int:
    """About the most it can be: a byte takes up to six for its character, four for its number."""
    count = 1 + len(one.top)
    size = len(one.token) + sum(len(token) for token, _ in one.top)
    return 80 * count + 10 * size


def _candidate(token: bytes, logprob: float) -> dict[str, Any]:
    return {
        "token": token.decode(errors="backslashreplace"),
        "logprob": _finite(logprob),
        "bytes": list(token),
    }


def _alternatives(one: TokenLogprob) -> dict[str, float]:
    """By their text; the token itself is always one of them."""
    told: dict[str, float] = {}
    for token, logprob in (*one.top, (one.token, one.logprob)):
        told.setdefault(_name(token), _finite(logprob))
    return told


def _name(token: bytes) -> str:
    """Its text. What is no whole text is told as OpenAI does: two such tokens must differ."""
    try:
        return token.decode()
    except UnicodeDecodeError:
        return "bytes:" + token.decode(errors="backslashreplace")


def _finite(logprob: float) -> float:
    return max(_LOWEST, logprob)  # in this order also for what is no number
