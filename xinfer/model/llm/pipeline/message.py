"""What an answer is made of: thoughts, text, calls."""

from __future__ import annotations

from typing import NamedTuple

from xinfer.model.llm.pipeline.reasoning import ReasoningParser
from xinfer.model.llm.pipeline.tools import ToolParser
from xinfer.types.event import ToolCall


class Parts(NamedTuple):
    """What has become certain, in the order of its making."""

    reasoning: str = ""
    text: str = ""
    calls: tuple[ToolCall, ...] = ()


class MessageParser:
    """Divides an answer into its parts: first thoughts, then text and calls.

    Args:
        reasoning: None where the model does not think.
        tools: None where the request offers no functions.
        one_call: the answer ends with its first call.
    """

    __slots__ = ("_one_call", "_opened", "_reasoning", "_tools", "called", "ended")

    def __init__(
        self, reasoning: ReasoningParser | None, tools: ToolParser | None, *, one_call: bool = False
    ) -> None:
        self._reasoning = reasoning
        self._tools = tools
        self._one_call = one_call
        if tools is not None:
            tools.once = one_call
        self._opened = 0
        """Calls that have been told of."""
        self.called = False
        """There was a call."""
        self.ended = False
        """The answer is complete: nothing that follows belongs to it."""

    @property
    def thinking(self) -> bool:
        """The last character belonged to thoughts."""
        return self._reasoning is not None and self._reasoning.thinking

    @property
    def looking(self) -> bool:
        """There may be thoughts yet."""
        return self._reasoning is not None and not self._reasoning.done

    @property
    def over(self) -> bool:
        """All that follows is text, and nothing is held back."""
        return self._tools is None and not self.looking

    @property
    def held(self) -> int:
        """Characters that are held back."""
        held = 0 if self._reasoning is None else self._reasoning.held
        return held if self._tools is None else held + self._tools.held

    def feed(self, text: str) -> Parts:
        """Take more of the answer."""
        reasoning = ""
        if self._reasoning is not None and not self._reasoning.done:
            reasoning, text = self._reasoning.feed(text)
        if self._tools is None or not text:
            return Parts(reasoning, text)
        text, calls = self._tools.feed(text)
        return self._parts(reasoning, text, calls)

    def finish(self) -> Parts:
        """The end: what was held back."""
        reasoning, text = "", ""
        if self._reasoning is not None:
            reasoning, text = self._reasoning.finish()
        if self._tools is None:
            return Parts(reasoning, text)
        fed = self._tools.feed(text)
        if self._one_call and self._tools.completed:
            return self._parts(reasoning, *fed)
        rest = self._tools.finish()
        return self._parts(reasoning, fed.text + rest.text, fed.calls + rest.calls)

    def _parts(self, reasoning: str, text: str, calls: tuple[ToolCall, ...]) -> Parts:
        if calls:
            self.called = True
            if self._one_call:
                calls = self._first_of(calls)
        if self._one_call and self._tools is not None and self._tools.completed:
            self.ended = True
        return Parts(reasoning, text, calls)

    def _first_of(self, calls: tuple[ToolCall, ...]) -> tuple[ToolCall, ...]:
        """What of it belongs to the answer's first call."""
        kept = []
        for call in calls:
            self._opened += bool(call.name)
            if self._opened == 1:
                kept.append(call)
        return tuple(kept)
