"""Chat and text completions, whole and as the chunks of a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from xinfer.api.render.calls import CallNames, function_call, tool_calls
from xinfer.api.render.logprobs import TextLogprobs, chat_logprobs, groups
from xinfer.core.gateway import Completion, share
from xinfer.types.event import MessageDelta, TokenLogprob, ToolCall, Usage

MAX_CHUNK_CHARS = 8192
"""Some readers take lines of up to 64 KiB; a character is at most six bytes of JSON."""

_encode = msgspec.json.Encoder().encode


def usage_body(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def add_usage(total: Usage, usage: Usage) -> Usage:
    return Usage(
        total.prompt_tokens + usage.prompt_tokens,
        total.completion_tokens + usage.completion_tokens,
        total.cached_tokens + usage.cached_tokens,
        total.reasoning_tokens + usage.reasoning_tokens,
    )


def usage_of(completions: Sequence[Completion]) -> Usage:
    """The usage of all answers to one prompt."""
    total = Usage()
    for index, completion in enumerate(completions):
        total = add_usage(total, share(completion.usage, index))
    return total


def chat_completion(
    completions: Sequence[Completion],
    *,
    request_id: str,
    model: str,
    created: int,
    logprobs: bool,
    legacy_calls: bool = False,
) -> bytes:
    """A whole chat answer: a choice for each of the answers to its one prompt.

    Args:
        legacy_calls: tell a call in the older form.
    """
    return _encode(
        {
            "id": f"chatcmpl-{request_id}",
            "object": "chat.completion",
            "created": created,
            "model": model,
            "choices": [
                {
                    "index": index,
                    "message": _message(
                        completion, CallNames(request_id, created, index), legacy_calls
                    ),
                    "logprobs": chat_logprobs(completion.logprobs) if logprobs else None,
                    "finish_reason": _finish_reason(completion.reason, legacy_calls),
                }
                for index, completion in enumerate(completions)
            ],
            "usage": usage_body(usage_of(completions)),
        }
    )


def _message(completion: Completion, names: CallNames, legacy_calls: bool) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": completion.text}
    if completion.reasoning:
        message["reasoning_content"] = completion.reasoning
    calls = completion.calls
    if calls:
        message["content"] = completion.text or None
        if legacy_calls:
            message["function_call"] = function_call(calls[0])
        else:
            message["tool_calls"] = tool_calls(calls, names)
    return message


def text_completion(
    completions: Sequence[Completion],
    usage: Usage,
    *,
    request_id: str,
    model: str,
    created: int,
    logprobs: bool,
) -> bytes:
    """A whole text answer: the choices of all prompts, and the usage of all that was made."""
    return _encode(
        {
            "id": f"cmpl-{request_id}",
            "object": "text_completion",
            "created": created,
            "model": model,
            "choices": [
                {
                    "index": index,
                    "text": completion.text,
                    "logprobs": TextLogprobs()(completion.logprobs) if logprobs else None,
                    "finish_reason": completion.reason,
                }
                for index, completion in enumerate(completions)
            ],
            "usage": usage_body(usage),
        }
    )


class Chunks:
    """The chunks of one choice: constant bytes around what changes.

    With `include_usage`, usage stands in a chunk of its own without choices, and is null in the
    others; without it, in the last chunk that has a choice. Never in both: some clients add up.
    """

    def __init__(
        self,
        envelope: dict[str, Any],
        *,
        index: int,
        include_usage: bool,
        around_text: tuple[bytes, bytes],
        empty: bytes,
        logprobs: Callable[[Sequence[TokenLogprob]], dict[str, Any]],
    ) -> None:
        self._include_usage = include_usage
        self._envelope = b"data: " + _encode(envelope)[:-1] + b',"choices":['
        self._head = self._envelope + b'{"index":%d,' % index
        self._null_usage = b',"usage":null}\n\n' if include_usage else b"}\n\n"
        self._text_head = self._head + around_text[0]
        self._after_text = around_text[1] + b',"logprobs":'
        self._after_logprobs = b',"finish_reason":null}]' + self._null_usage
        self._text_tail = self._after_text + b"null" + self._after_logprobs
        self._empty = empty
        self._logprobs = logprobs

    def text(self, text: str) -> bytes:
        """One chunk of text; more than one where it is very long; none where it is empty."""
        if len(text) > MAX_CHUNK_CHARS:
            return b"".join(map(self.text, split_text(text)))
        if not text:
            return b""
        return self._text_head + _encode(text) + self._text_tail

    def tokens(self, text: str, logprobs: Sequence[TokenLogprob]) -> bytes:
        """Text with the log-probabilities of the tokens that begin in it: one chunk, or as many
        as keep lines short."""
        frame = b""
        for part, group in zip_longest(split_text(text), groups(logprobs)):
            frame += self._text_head + _encode(part or "") + self._after_text
            frame += _encode(self._logprobs(group) if group else None) + self._after_logprobs
        return frame

    def begin(self) -> bytes:
        """The empty chunk that opens a chat answer."""
        return self._text_head + b'"","role":"assistant"' + self._text_tail

    def message(self, event: MessageDelta) -> bytes:
        """What more than text there is. Only a chat has it."""
        raise AssertionError(f"a text completion got {event}")

    def finish(self, reason: str, usage: Usage | None) -> bytes:
        """The last chunk of this choice, with the usage if it is told there."""
        return self._finish(self._empty, reason, usage)

    def _finish(self, rest: bytes, reason: str, usage: Usage | None) -> bytes:
        told = b',"usage":' + _encode(usage_body(usage)) + b"}\n\n" if usage else self._null_usage
        return (
            self._head
            + rest
            + b',"logprobs":null,"finish_reason":'
            + _encode(reason)
            + b"}]"
            + told
        )

    def close(self, reason: str, usage: Usage) -> bytes:
        """The last chunk of the last choice, and the usage where it belongs."""
        if not self._include_usage:
            return self.finish(reason, usage)
        told = b'],"usage":' + _encode(usage_body(usage)) + b"}\n\n"
        return self.finish(reason, None) + self._envelope + told


class ChatChunks(Chunks):
    """The chunks of a chat's choice: thoughts, text and calls.

    Calls are told whole, in the chunk that has the finish reason: some clients read no others. With
    `call_deltas` they are told as they come, which may be in pieces, the arguments apart from the
    name. Never both: some clients add up.
    """

    def __init__(
        self,
        *,
        request_id: str,
        model: str,
        created: int,
        include_usage: bool,
        index: int = 0,
        call_deltas: bool = False,
        legacy_calls: bool = False,
    ) -> None:
        super().__init__(
            {
                "id": f"chatcmpl-{request_id}",
                "object": "chat.completion.chunk",
                "created": created,
                "model": model,
            },
            index=index,
            include_usage=include_usage,
            around_text=(b'"delta":{"content":', b"}"),
            empty=b'"delta":{}',
            logprobs=chat_logprobs,
        )
        self._names = CallNames(request_id, created, index)
        self._call_deltas = call_deltas
        self._legacy_calls = legacy_calls
        self._calls: list[ToolCall] = []

    def message(self, event: MessageDelta) -> bytes:
        frame = b"".join(
            [self._delta({"reasoning_content": part}) for part in split_text(event.reasoning)]
        )
        if event.logprobs:
            frame += self.tokens(event.text, event.logprobs)
        elif event.text:
            frame += self.text(event.text)
        for call in event.calls:
            if call.name:
                self._calls.append(call)
            if self._call_deltas:
                frame += self._told_in_deltas(call, len(self._calls) - 1)
        return frame

    def finish(self, reason: str, usage: Usage | None) -> bytes:
        rest, calls = self._empty, self._calls
        if calls and not self._call_deltas:
            if self._legacy_calls:
                told: dict[str, Any] = {"function_call": function_call(calls[0])}
            else:
                whole = tool_calls(calls, self._names)
                told = {"tool_calls": [{"index": n, **call} for n, call in enumerate(whole)]}
            rest = b'"delta":' + _encode(told)
        return self._finish(rest, _finish_reason(reason, self._legacy_calls), usage)

    def _told_in_deltas(self, call: ToolCall, index: int) -> bytes:
        """A call, or a piece of one."""
        opening = {"name": call.name, "arguments": ""}
        frames = []
        if self._legacy_calls:
            if call.name:
                frames.append(self._delta({"function_call": opening}))
            for part in split_text(call.arguments):
                frames.append(self._delta({"function_call": {"arguments": part}}))
            return b"".join(frames)
        named = {"index": index, "id": self._names.id(index), "type": "function"}
        if call.name:
            frames.append(self._delta({"tool_calls": [{**named, "function": opening}]}))
        for part in split_text(call.arguments):
            more = {"index": index, "function": {"arguments": part}}
            frames.append(self._delta({"tool_calls": [more]}))
        return b"".join(frames)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return (
            self._head + b'"delta":' + _encode(delta) + b',"logprobs":null' + self._after_logprobs
        )


def _finish_reason(reason: str, legacy_calls: bool) -> str:
    return "function_call" if reason == "tool_calls" and legacy_calls else reason


def text_chunks(
    *, request_id: str, model: str, created: int, include_usage: bool, index: int
) -> Chunks:
    return Chunks(
        {
            "id": f"cmpl-{request_id}",
            "object": "text_completion",
            "created": created,
            "model": model,
        },
        index=index,
        include_usage=include_usage,
        around_text=(b'"text":', b""),
        empty=b'"text":""',
        logprobs=TextLogprobs(),
    )


def split_text(text: str) -> Iterator[str]:
    """Pieces that make short lines."""
    for start in range(0, len(text), MAX_CHUNK_CHARS):
        yield text[start : start + MAX_CHUNK_CHARS]
