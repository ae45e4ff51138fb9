"""Calls that are told while they are written: the name first, then the arguments as they grow."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod

from xinfer.model.llm.pipeline.tools.calls import BrokenCall, Functions, make_call
from xinfer.model.llm.pipeline.tools.ends import BracketEnd, MarkerEnd
from xinfer.types.event import ToolCall


class Growth(ABC):
    """What has become certain of the calls in a block that is not complete. One for each block.

    `opened` counts the calls that have been told of.
    """

    def __init__(self) -> None:
        self.opened = 0

    @abstractmethod
    def more(self, block: str) -> list[ToolCall]:
        """Pieces of calls, since the last time. The block grows."""

    def _open(self, name: str) -> ToolCall:
        self.opened += 1
        return ToolCall(name, "")


class JsonGrowth(Growth):
    """Arguments that are an object of JSON: its text as it is.

    Args:
        opening: what stands before arguments, from the block's beginning or the end of the
            arguments before; with the function's name as its only group that takes part.
    """

    def __init__(self, opening: re.Pattern[str], functions: Functions) -> None:
        super().__init__()
        self._opening = opening
        self._functions = functions
        self._at = 0
        self._arguments: BracketEnd | None = None

    def more(self, block: str) -> list[ToolCall]:
        pieces: list[ToolCall] = []
        while True:
            if self._arguments is None:
                found = self._opening.match(block, self._at)
                name = next(filter(None, found.groups()), "").strip() if found else ""
                if found is None or name not in self._functions:
                    return pieces
                pieces.append(self._open(name))
                self._at = found.end()
                self._arguments = BracketEnd(self._at)
            end = self._arguments.find(block)
            told = block[self._at : end]
            if told:
                pieces.append(ToolCall("", told))
            self._at += len(told)
            if end is None:
                return pieces
            self._arguments = None


class TaggedGrowth(Growth):
    """Arguments that are named one by one: each when it is complete, as a part of an object.

    Args:
        opening: what stands before the first argument, with the function's `name` as a group.
        argument: with the groups `name` and `value`.
        end: what an argument ends with.
        last: what the call ends with.
    """

    def __init__(
        self,
        opening: re.Pattern[str],
        argument: re.Pattern[str],
        end: str,
        last: str,
        functions: Functions,
    ) -> None:
        super().__init__()
        self._opening, self._argument = opening, argument
        self._marker, self._last = end, last
        self._functions = functions
        self._name = ""
        self._at = 0
        self._end = MarkerEnd(end)
        self._seen: set[str] = set()
        self._done = False

    def more(self, block: str) -> list[ToolCall]:
        pieces: list[ToolCall] = []
        if not self._name:
            found = self._opening.match(block)
            if found is None or found["name"].strip() not in self._functions:
                return pieces
            self._name, self._at = found["name"].strip(), found.end()
            self._end = MarkerEnd(self._marker, self._at)
            pieces.append(self._open(self._name))
        while not self._done and (end := self._end.find(block)) is not None:
            found = self._argument.match(block[self._at : end].lstrip())
            self._at = end
            self._end = MarkerEnd(self._marker, end)
            if found is None:
                self._done = True
            elif found["name"] not in self._seen:
                pieces += self._told(found["name"], found["value"])
        if not self._done and block.endswith(self._last):
            self._done = True
            pieces.append(ToolCall("", "}" if self._seen else "{}"))
        return pieces

    def _told(self, key: str, text: str) -> list[ToolCall]:
        value = self._functions.value(self._name, key, text)
        try:
            pair = make_call(self._name, {key: value}).arguments[1:-1]
        except BrokenCall:
            self._done = True
            return []
        before = ", " if self._seen else "{"
        self._seen.add(key)
        return [ToolCall("", before + pair)]
