"""Answers of /v1/responses, whole and as events."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from xinfer.api.errors import HTTP
from xinfer.api.render.calls import CallNames, begun_before
from xinfer.api.render.logprobs import chat_logprobs, groups
from xinfer.api.render.text import split_text
from xinfer.api.schemas.responses import ResponsesBody
from xinfer.core.gateway import Completion
from xinfer.errors import XinferError
from xinfer.types.event import Finished, MessageDelta, TokenLogprob, ToolCall, Usage

_encode = msgspec.json.Encoder().encode


def response(
    completion: Completion, *, request_id: str, created: int, body: ResponsesBody
) -> bytes:
    """A whole answer."""
    items = _Items(request_id, created)
    status = _status(completion.reason)
    output: list[dict[str, Any]] = []
    if completion.reasoning:
        more = completion.text or completion.calls
        output.append(items.reasoning(completion.reasoning, "completed" if more else status))
    if completion.text:
        logprobs = completion.logprobs if body.wants_logprobs else ()
        told = "completed" if completion.calls else status
        output.append(items.message(completion.text, logprobs, told, number=len(output)))
    for index, call in enumerate(completion.calls):
        output.append(items.call(index, call.name, call.arguments, "completed", number=len(output)))
    return _encode(
        {
            **envelope(request_id, created, body),
            **_end(completion.reason, completion.usage),
            "output": output,
        }
    )


def envelope(request_id: str, created: int, body: ResponsesBody) -> dict[str, Any]:
    """A response that has no output yet: what was asked for."""
    return {
        "id": f"resp_{request_id}",
        "object": "response",
        "created_at": created,
        "completed_at": None,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": body.max_tool_calls,
        "metadata": body.metadata or {},
        "model": body.model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": (body.reasoning or {}).get("effort"), "summary": None},
        "service_tier": "default",
        "store": False,
        "temperature": body.temperature,
        "text": {"format": (body.text or {}).get("format") or {"type": "text"}},
        "tool_choice": body.tool_choice or "auto",
        "tools": body.tools or [],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": body.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": body.user,
    }


class ResponseEvents:
    """The events of one answer: items one after the other, of which one at most is open."""

    def __init__(self, *, request_id: str, created: int, body: ResponsesBody) -> None:
        self._response = envelope(request_id, created, body)
        self._wants_logprobs = body.wants_logprobs
        self._items = _Items(request_id, created)
        self._calls = 0
        self._number = 0
        """Of the next event."""
        self._output: list[dict[str, Any]] = []
        """The items that are complete."""
        self._kind = ""
        """Of the item that is open."""
        self._id = ""
        self._name = ""
        """Of the function that it calls."""
        self._text: list[str] = []
        self._logprobs: list[TokenLogprob] = []

    def begin(self) -> bytes:
        """The response without any output."""
        started = {"response": self._response}
        return self._event("response.created", started) + self._event(
            "response.in_progress", started
        )

    def text(self, text: str) -> bytes:
        """More of the answer."""
        if not text:
            return b""
        return self._message() + b"".join([self._text_delta(part) for part in split_text(text)])

    def tokens(self, text: str, logprobs: tuple[TokenLogprob, ...]) -> bytes:
        """More of the answer, with the log-probabilities of its tokens."""
        frame = self._message()
        for part, group in zip_longest(split_text(text), groups(logprobs)):
            frame += self._text_delta(part or "", group or ())
        return frame

    def message(self, event: MessageDelta) -> bytes:
        """Thoughts, text and calls."""
        before = begun_before(event.calls)
        frame = b"".join([self._call(call) for call in event.calls[:before]])
        frame += self._reasoning(event.reasoning)
        if event.logprobs:
            frame += self.tokens(event.text, event.logprobs)
        else:
            frame += self.text(event.text)
        return frame + b"".join([self._call(call) for call in event.calls[before:]])

    def _reasoning(self, text: str) -> bytes:
        if not text:
            return b""
        frame = b""
        if self._kind != "reasoning":
            frame = self._stop("completed")
            item = self._items.reasoning("", "in_progress", number=len(self._output))
            frame += self._start(item, {"type": "reasoning_text", "text": ""})
        for part in split_text(text):
            self._text.append(part)
            delta = {**self._place(), "content_index": 0, "delta": part}
            frame += self._event("response.reasoning_text.delta", delta)
        return frame

    def _call(self, call: ToolCall) -> bytes:
        """A call, or a piece of one, whose item is left open."""
        frame = b""
        if call.name:
            frame = self._stop("completed")
            self._name = call.name
            number = len(self._output)
            item = self._items.call(self._calls, call.name, "", "in_progress", number=number)
            frame += self._start(item)
            self._calls += 1
        for part in split_text(call.arguments):
            self._text.append(part)
            delta = {**self._place(), "delta": part}
            frame += self._event("response.function_call_arguments.delta", delta)
        whole = call.name and call.arguments
        return frame + self._stop("completed") if whole else frame

    def _call_done(self, arguments: str, status: str) -> bytes:
        name, index, number = self._name, self._calls - 1, len(self._output)
        told = {**self._place(), "name": name, "arguments": arguments}
        frame = self._event("response.function_call_arguments.done", told)
        return frame + self._done(self._items.call(index, name, arguments, status, number=number))

    def close(self, end: Finished) -> bytes:
        """The end, with the whole response."""
        frame = self._stop(_status(end.reason))
        ended = {**self._response, **_end(end.reason, end.usage), "output": self._output}
        return frame + self._event(f"response.{ended['status']}", {"response": ended})

    def fail(self, error: XinferError) -> bytes:
        """The last events of an answer that broke off: what there is of it, and an error that
        OpenAI's client raises."""
        told = {"code": "server_error", "message": error.message}
        failed = {**self._response, "status": "failed", "error": told, "output": self._output}
        frame = self._event("response.failed", {"response": failed})
        about = {"message": error.message, "param": error.param, "code": error.code}
        body = {"type": HTTP[type(error)][1], **about}
        return frame + self._event("error", {**about, "error": body})

    def _message(self) -> bytes:
        """Have a message open."""
        if self._kind == "message":
            return b""
        frame = self._stop("completed")
        item = self._items.message(None, (), "in_progress", number=len(self._output))
        return frame + self._start(item, _output_text("", ()))

    def _text_delta(self, text: str, logprobs: Sequence[TokenLogprob] = ()) -> bytes:
        self._text.append(text)
        told: list[Any] = []
        if self._wants_logprobs and logprobs:
            self._logprobs += logprobs
            told = chat_logprobs(logprobs)["content"]
        delta = {**self._place(), "content_index": 0, "delta": text, "logprobs": told}
        return self._event("response.output_text.delta", delta)

    def _start(self, item: dict[str, Any], part: dict[str, Any] | None = None) -> bytes:
        self._kind, self._id = item["type"], item["id"]
        self._text, self._logprobs = [], []
        frame = self._event(
            "response.output_item.added", {"output_index": len(self._output), "item": item}
        )
        if part is not None:
            opened = {**self._place(), "content_index": 0, "part": part}
            frame += self._event("response.content_part.added", opened)
        return frame

    def _stop(self, status: str) -> bytes:
        """Complete the item that is open."""
        if not self._kind:
            return b""
        if self._kind == "function_call":
            return self._call_done("".join(self._text), status)
        text, place = "".join(self._text), {**self._place(), "content_index": 0}
        number = len(self._output)
        if self._kind == "message":
            item = self._items.message(text, self._logprobs, status, number=number)
            part = item["content"][0]
            told = {**place, "text": text, "logprobs": part["logprobs"]}
            frame = self._event("response.output_text.done", told)
        else:
            item = self._items.reasoning(text, status, number=number)
            part = item["content"][0]
            frame = self._event("response.reasoning_text.done", {**place, "text": text})
        frame += self._event("response.content_part.done", {**place, "part": part})
        return frame + self._done(item)

    def _done(self, item: dict[str, Any]) -> bytes:
        told = {"output_index": len(self._output), "item": item}
        self._output.append(item)
        self._kind = ""
        return self._event("response.output_item.done", told)

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": len(self._output)}

    def _event(self, kind: str, fields: dict[str, Any]) -> bytes:
        data = _encode({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)


class _Items:
    """Items of a response's output; their ids follow from the request."""

    def __init__(self, request_id: str, created: int) -> None:
        self._request_id = request_id
        self._names = CallNames(request_id, created)

    def message(
        self, text: str | None, logprobs: Sequence[TokenLogprob], status: str, *, number: int = 0
    ) -> dict[str, Any]:
        return {
            "type": "message",
            "id": f"msg_{self._request_id}_{number}",
            "status": status,
            "role": "assistant",
            "content": [] if text is None else [_output_text(text, logprobs)],
        }

    def reasoning(self, text: str, status: str, *, number: int = 0) -> dict[str, Any]:
        return {
            "type": "reasoning",
            "id": f"rs_{self._request_id}_{number}",
            "status": status,
            "summary": [],
            "content": [{"type": "reasoning_text", "text": text}] if text else [],
        }

    def call(
        self, index: int, name: str, arguments: str, status: str, *, number: int = 0
    ) -> dict[str, Any]:
        return {
            "type": "function_call",
            "id": f"fc_{self._request_id}_{number}",
            "status": status,
            "call_id": self._names.id(index),
            "name": name,
            "arguments": arguments,
        }


def _output_text(text: str, logprobs: Sequence[TokenLogprob]) -> dict[str, Any]:
    return {
        "type": "output_text",
        "text": text,
        "annotations": [],
        "logprobs": chat_logprobs(logprobs)["content"],
    }


def _status(reason: str) -> str:
    return "incomplete" if reason == "length" else "completed"


def _end(reason: str, usage: Usage) -> dict[str, Any]:
    incomplete = reason == "length"
    return {
        "status": _status(reason),
        "completed_at": None if incomplete else int(time.time()),
        "incomplete_details": {"reason": "max_output_tokens"} if incomplete else None,
        "usage": {
            "input_tokens": usage.prompt_tokens,
            "input_tokens_details": {
                "cached_tokens": usage.cached_tokens,
                "cache_write_tokens": 0,
            },
            "output_tokens": usage.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        },
    }
