"""What is held for a slow reader: merged into deltas of a bounded size, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from xinfer.types.event import Delta, LogprobDelta, MessageDelta, TokenLogprob, ToolCall

_MERGED = 64
"""Tokens beyond which a delta that is held grows no more: the reader takes it as a whole."""
_THOUGHTS, _TEXT, _CALLS = range(3)
_ID_CHARACTERS = 4
_LOGPROB_CHARACTERS = 16


class Backlog:
    """Deltas of one request that wait for credit."""

    def __init__(self, rid: int) -> None:
        self._rid = rid
        self._held: deque[_Merged] = deque()
        self.size = 0
        """Characters of text; tokens and log-probabilities count as their bytes in a frame."""

    def __bool__(self) -> bool:
        return bool(self._held)

    def add(self, delta: Delta) -> None:
        if not self._held or not self._held[-1].takes(delta):
            self._held.append(_Merged())
        self._held[-1].add(delta)
        self.size += _size(delta)

    def take(self) -> Delta:
        """The first of what is held."""
        delta = self._held.popleft().delta(self._rid)
        self.size -= _size(delta)
        return delta


class _Merged:
    """Deltas that are to become one, which has thoughts before text before calls."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self._last = _THOUGHTS
        self._text: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._reasoning: list[str] = []
        self._calls: list[ToolCall] = []

    def takes(self, delta: Delta) -> bool:
        """Whether it can go on with this one: it is not too long, and the order stays."""
        said = _said(delta)
        return len(self.ids) < _MERGED and (not said or said[0] >= self._last)

    def add(self, delta: Delta) -> None:
        self._last = max([self._last, *_said(delta)])
        self.ids += delta.ids
        self._text.append(delta.text)
        if isinstance(delta, LogprobDelta):
            self._logprobs += delta.logprobs
        if isinstance(delta, MessageDelta):
            self._reasoning.append(delta.reasoning)
            self._calls += delta.calls

    def delta(self, rid: int) -> Delta:
        return build_delta(
            rid,
            "".join(self._text),
            self.ids,
            self._logprobs,
            "".join(self._reasoning),
            self._calls,
        )


def build_delta(
    rid: int,
    text: str,
    ids: list[int],
    logprobs: Sequence[TokenLogprob] = (),
    reasoning: str = "",
    calls: Sequence[ToolCall] = (),
) -> Delta:
    """The smallest event that says it."""
    if reasoning or calls:
        return MessageDelta(rid, text, ids, tuple(logprobs), reasoning, tuple(calls))
    if logprobs:
        return LogprobDelta(rid, text, ids, tuple(logprobs))
    return Delta(rid, text, ids)


def _said(delta: Delta) -> list[int]:
    """What there is in it, in order."""
    if not isinstance(delta, MessageDelta):
        return [_TEXT] if delta.text else []
    parts = ((_THOUGHTS, delta.reasoning), (_TEXT, delta.text), (_CALLS, delta.calls))
    return [kind for kind, part in parts if part]


def _size(delta: Delta) -> int:
    size = len(delta.text) + _ID_CHARACTERS * len(delta.ids)
    if isinstance(delta, LogprobDelta):
        for one in delta.logprobs:
            size += _LOGPROB_CHARACTERS * (1 + len(one.top))
            size += len(one.token) + sum(len(token) for token, _ in one.top)
    if isinstance(delta, MessageDelta):
        size += len(delta.reasoning)
        size += sum(len(call.name) + len(call.arguments) for call in delta.calls)
    return size
