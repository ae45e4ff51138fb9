"""Answers of /v1/messages, whole and as events."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import msgspec

from xinfer.api.errors import anthropic_body
from xinfer.api.render.calls import CallNames, begun_before
from xinfer.api.render.text import split_text
from xinfer.core.gateway import Completion
from xinfer.errors import XinferError
from xinfer.types.event import Finished, MessageDelta, TokenLogprob, ToolCall, Usage

_encode = msgspec.json.Encoder().encode

PING = b'event: ping\ndata: {"type":"ping"}\n\n'

_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


def message(completion: Completion, *, request_id: str, created: int, model: str) -> bytes:
    """A whole answer."""
    content: list[dict[str, Any]] = []
    thoughts = completion.reasoning
    if thoughts:
        signed = {"thinking": thoughts, "signature": signature(thoughts)}
        content.append({"type": "thinking", **signed})
    if completion.text:
        content.append({"type": "text", "text": completion.text})
    names = CallNames(request_id, created)
    for index, call in enumerate(completion.calls):
        arguments = msgspec.Raw(call.arguments.encode())
        content.append(
            {"type": "tool_use", "id": names.id(index), "name": call.name, "input": arguments}
        )
    whole = _envelope(request_id, model)
    whole["content"] = content
    whole.update(_end(completion.reason, completion.stop))
    whole["usage"] = _usage(completion.usage)
    return _encode(whole)


class MessageEvents:
    """The events of one answer: blocks one after the other, of which one at most is open."""

    def __init__(self, *, request_id: str, created: int, model: str) -> None:
        self._request_id = request_id
        self._names = CallNames(request_id, created)
        self._calls = 0
        self._model = model
        self._index = -1
        self._kind = ""
        """Of the block that is open."""
        self._head = b""
        self._thoughts = ""

    def begin(self, prompt_tokens: int) -> bytes:
        """The answer without any content."""
        empty = _envelope(self._request_id, self._model)
        empty.update(content=[], stop_reason=None, stop_sequence=None)
        empty["usage"] = _usage(Usage(prompt_tokens))
        return _event("message_start", {"message": empty})

    def text(self, text: str) -> bytes:
        """More of the answer."""
        if not text:
            return b""
        return self._into("text", {"type": "text", "text": ""}) + self._delta(text)

    def tokens(self, text: str, logprobs: tuple[TokenLogprob, ...]) -> bytes:
        """The same; of log-probabilities these events know nothing."""
        return self.text(text)

    def message(self, event: MessageDelta) -> bytes:
        """Thoughts, text and calls."""
        before = begun_before(event.calls)
        frame = b"".join([self._call(call) for call in event.calls[:before]])
        frame += self._reasoning(event.reasoning) + self.text(event.text)
        return frame + b"".join([self._call(call) for call in event.calls[before:]])

    def _reasoning(self, text: str) -> bytes:
        if not text:
            return b""
        opened = self._into("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        self._thoughts += text
        return opened + self._delta(text)

    def _call(self, call: ToolCall) -> bytes:
        """A call, or a piece of one, whose block is left open."""
        if not call.name:
            return self._delta(call.arguments)
        call_id = self._names.id(self._calls)
        self._calls += 1
        start = {"type": "tool_use", "id": call_id, "name": call.name, "input": {}}
        opened = self._stop() + self._into("tool_use", start)
        if not call.arguments:
            return opened
        return opened + self._delta(call.arguments) + self._stop()

    def close(self, end: Finished) -> bytes:
        """The end, with all that was used."""
        delta = {"delta": _end(end.reason, end.stop), "usage": _usage(end.usage)}
        return self._stop() + _event("message_delta", delta) + _event("message_stop", {})

    def fail(self, error: XinferError) -> bytes:
        """The last event of an answer that broke off."""
        body = anthropic_body(error, self._request_id)
        return b"event: error\ndata: " + _encode(body) + b"\n\n"

    def _into(self, kind: str, start: dict[str, Any]) -> bytes:
        """Have a block of this kind open, and the one before closed."""
        if self._kind == kind:
            return b""
        stopped = self._stop()
        self._kind = kind
        self._index += 1
        delta, field = _DELTAS[kind]
        self._head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":"%s","%s":' % (self._index, delta, field)
        )
        opened = {"index": self._index, "content_block": start}
        return stopped + _event("content_block_start", opened)

    def _delta(self, text: str) -> bytes:
        return b"".join([self._head + _encode(part) + b"}}\n\n" for part in split_text(text)])

    def _stop(self) -> bytes:
        if not self._kind:
            return b""
        kind, self._kind = self._kind, ""
        signed = b""
        if kind == "thinking":
            delta = {"type": "signature_delta", "signature": signature(self._thoughts)}
            signed = _event("content_block_delta", {"index": self._index, "delta": delta})
            self._thoughts = ""
        return signed + _event("content_block_stop", {"index": self._index})


_DELTAS = {
    "text": (b"text_delta", b"text"),
    "thinking": (b"thinking_delta", b"thinking"),
    "tool_use": (b"input_json_delta", b"partial_json"),
}
"""Type and field of the deltas of each kind of block."""


def signature(thoughts: str) -> str:
    """What stands for Anthropic's signature: clients want one, and nobody here checks it."""
    return base64.b64encode(hashlib.sha256(thoughts.encode()).digest()).decode()


def _envelope(request_id: str, model: str) -> dict[str, Any]:
    return {"id": f"msg_{request_id}", "type": "message", "role": "assistant", "model": model}


def _end(reason: str, stop: str | None) -> dict[str, Any]:
    told = "stop_sequence" if stop is not None else _STOP_REASONS[reason]
    return {"stop_reason": told, "stop_sequence": stop}


def _usage(usage: Usage) -> dict[str, Any]:
    """Anthropic's `input_tokens` are those that were not cached."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }


def _event(kind: str, fields: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), _encode({"type": kind, **fields}))
