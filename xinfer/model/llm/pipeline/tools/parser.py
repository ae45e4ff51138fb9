"""Calls in a text that arrives in pieces: what all forms have in common."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from xinfer.model.llm.pipeline.forms import (
    Node,
    either,
    exactly,
    sequence,
    several,
    where_it_begins,
)
from xinfer.model.llm.pipeline.tools.calls import BrokenCall, Functions
from xinfer.model.llm.pipeline.tools.ends import marker_begins
from xinfer.model.llm.pipeline.tools.growth import Growth, JsonGrowth
from xinfer.types.event import ToolCall

MOST_CALLS = 16
"""Of one answer, where its calls are enforced: a small model does not find the end."""


class Parsed(NamedTuple):
    """What has become certain."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()


class ToolParser(ABC):
    """Takes the calls out of a text, however it is cut into pieces.

    A call is held back until it is complete. What turns out to be none is text again, as it was:
    nothing is lost, and nothing raises. White space between text and calls belongs to neither.

    With `growing`, calls are told in pieces while they come, as far as their form allows that: a
    piece with the name, then pieces without one that make up the arguments. What has been told so
    is not text again, whatever follows.

    A form of writing calls is a subclass. In it, a call begins where `_begin` says so and ends
    where `_end` says so; what lies between them `_parse` makes calls of.
    """

    markers: ClassVar[tuple[str, ...]] = ()
    """Texts of the form that may be control tokens of the model."""
    between: ClassVar[str] = " \t\r\n"
    """Characters that may stand between two calls and belong to neither."""
    opening: ClassVar[re.Pattern[str] | None] = None
    """What stands before arguments that are JSON, as of `JsonGrowth`."""
    separator: ClassVar[str] = ""
    """What models write between two calls."""

    @classmethod
    def form(cls, functions: Functions, most: int, template: str) -> Node | None:
        """What up to `most` calls look like, at least one; None: their form cannot be told.

        Args:
            template: the model's chat template, where models write this form in several ways.
        """
        calls = [cls.one(functions, name, template) for name in functions.names]
        told = [call for call in calls if call is not None]
        if len(told) < len(calls):
            return None
        return several(either(told), cls.separator, most)

    @classmethod
    @abstractmethod
    def one(cls, functions: Functions, name: str, template: str) -> Node | None:
        """The form of a call of one function; None: it cannot be told."""

    growing = False
    once = False
    """What follows the first call belongs to nothing."""
    completed = 0
    """Calls that are complete."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self._growth: Growth | None = None
        self._held = ""
        self._inside = False
        self._gap = ""
        """White space before the call that is held."""
        self._after_text = False
        """There was text other than white space."""
        self._after_call = False

    @property
    def held(self) -> int:
        """Characters that are held back."""
        return len(self._gap) + len(self._held)

    def feed(self, text: str) -> Parsed:
        """Take more text."""
        self._held += text
        told: list[str] = []
        calls: list[ToolCall] = []
        while self._held:
            if not self._inside and not self._enter(told):
                break
            end = self._end(self._held)
            if end is None:
                calls += self._grown(self._held)
                break
            self._leave(end, told, calls)
            if self.once and self.completed:
                self._held = ""
        return Parsed("".join(told), tuple(calls))

    def finish(self) -> Parsed:
        """The end: a call that only lacks its last marker, or text."""
        told: list[str] = []
        calls: list[ToolCall] = []
        if self._inside:
            self._leave(len(self._held), told, calls)
        rest, self._held = self._gap + self._held, ""
        self._gap = ""
        if rest.strip(self.between if self._after_call else None) or not self._after_call:
            told.append(rest)
        return Parsed("".join(told), tuple(calls))

    def _enter(self, told: list[str]) -> bool:
        """Let text go, up to where a call begins or may begin."""
        at, begins = self._begin(self._held)
        text = self._held[:at]
        between = begins and self._after_call and not text.strip(self.between)
        kept = "" if between else text.rstrip()
        if kept:
            told.append(self._gap + kept)
            self._gap = ""
            self._after_text = True
        self._gap += text[len(kept) :]
        self._held = self._held[at:]
        self._inside = begins
        return begins

    def _leave(self, end: int, told: list[str], calls: list[ToolCall]) -> None:
        block, self._held = self._held[:end], self._held[end:]
        self._inside = False
        calls += self._grown(block)
        opened = 0 if self._growth is None else self._growth.opened
        self._growth = None
        try:
            made = self._parse(block)
        except BrokenCall:
            if opened:
                self._after_call = True
            else:
                told.append(self._gap + block)
                self._after_text = True
        else:
            calls += made[opened:]
            self.completed += len(made)
            self._after_call = self._after_call or bool(made)
        self._gap = ""

    def _grown(self, block: str) -> list[ToolCall]:
        if not self.growing:
            return []
        if self._growth is None:
            self._growth = self._new_growth()
        return [] if self._growth is None else self._growth.more(block)

    def _new_growth(self) -> Growth | None:
        """What tells the calls of a block while it comes; None: they are told when it is there."""
        return None if self.opening is None else JsonGrowth(self.opening, self._functions)

    @abstractmethod
    def _begin(self, text: str) -> tuple[int, bool]:
        """Where a call begins in a text, and that it does; or how much is text for certain."""

    @abstractmethod
    def _end(self, text: str) -> int | None:
        """Where the call ends that the text begins with; None: not yet. The text grows."""

    @abstractmethod
    def _parse(self, block: str) -> list[ToolCall]:
        """The calls of a block.

        Raises:
            BrokenCall: it is none.
        """


class MarkedParser(ToolParser):
    """Calls that begin with a marker, anywhere in the text."""

    begin: ClassVar[str]

    @classmethod
    def one(cls, functions: Functions, name: str, template: str) -> Node | None:
        behind = cls.behind(functions, name, template)
        return None if behind is None else sequence(exactly(cls.begin), behind)

    @classmethod
    @abstractmethod
    def behind(cls, functions: Functions, name: str, template: str) -> Node | None:
        """What of `one` stands behind the marker."""

    @classmethod
    def anywhere(cls, functions: Functions, template: str) -> Node | None:
        """Any text with calls in it; None: their form cannot be told."""
        calls = [cls.behind(functions, name, template) for name in functions.names]
        told = [call for call in calls if call is not None]
        return where_it_begins(cls.begin, either(told)) if len(told) == len(calls) else None

    def _begin(self, text: str) -> tuple[int, bool]:
        at = text.find(self.begin)
        if at >= 0:
            return at, True
        return marker_begins(text, self.begin), False


class LeadingParser(ToolParser):
    """Calls without a marker: the answer begins with them, and has no other text before."""

    def _begin(self, text: str) -> tuple[int, bool]:
        if self._after_text:
            return len(text), False
        lead = len(text) - len(text.lstrip(self.between if self._after_call else None))
        if lead == len(text):
            return 0, False
        may = self._may_begin(text[lead:])
        if may is None:
            return 0, False
        return (lead, True) if may else (len(text), False)

    @abstractmethod
    def _may_begin(self, text: str) -> bool | None:
        """Whether a call begins with this text; None: it is too short to tell."""
