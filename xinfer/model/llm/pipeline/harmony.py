"""gpt-oss's messages, in the format that OpenAI calls harmony.

An answer is several messages, each in a channel: thoughts in `analysis`, calls in `commentary`, and
what the user reads in `final`. OpenAI's library for it loads its vocabulary from the network; the
model's own control tokens tell as much.
"""

from __future__ import annotations

import re

from xinfer.model.llm.pipeline.forms import (
    Node,
    between,
    either,
    exactly,
    optional,
    sequence,
    valid,
)
from xinfer.model.llm.pipeline.message import Parts
from xinfer.model.llm.pipeline.tools.calls import BrokenCall, Functions, make_call, read_json
from xinfer.model.llm.pipeline.tools.ends import marker_begins
from xinfer.types.event import ToolCall

_START, _CHANNEL, _MESSAGE = "<|start|>", "<|channel|>", "<|message|>"
_END, _CALL, _RETURN, _CONSTRAIN = "<|end|>", "<|call|>", "<|return|>", "<|constrain|>"
MARKERS = (_START, _CHANNEL, _MESSAGE, _END, _CALL, _RETURN, _CONSTRAIN)
_ENDS = (_END, _CALL, _RETURN, _START)
_HEADER = re.compile(
    r"\s*(?:<\|start\|>\s*)*(?:assistant)?\s*(?:to=(?P<early>\S+?))?\s*"
    r"(?:<\|channel\|>\s*(?P<channel>\w+)\s*(?:to=(?P<late>[^\s<]+))?.*)?",
    re.DOTALL,
)
_BEGINNINGS = (_START, _CHANNEL, _MESSAGE, "to=", "assistant")
_MAX_HEADER = 512
_LONGEST = _MAX_HEADER + len(_MESSAGE)
_FUNCTIONS = "functions."


def is_harmony(template: str) -> bool:
    """Whether a chat template is one of gpt-oss."""
    return _CHANNEL in template and _MESSAGE in template and _START in template


def answer_form(content: Node) -> Node:
    """What the user reads, as a message."""
    head = [exactly(_CHANNEL), exactly("final"), exactly(_MESSAGE)]
    return sequence(*head, content)


def call_form(functions: Functions) -> Node:
    """A call of one of the functions, as a message without its end."""
    return either([_one_call(functions, name) for name in functions.names])


def behind_analysis(content: Node) -> Node:
    """Thoughts or none, and a message."""
    thoughts = between("", _END)
    head = [exactly(_CHANNEL), exactly("analysis"), exactly(_MESSAGE)]
    said = sequence(*head, thoughts, exactly(_START), exactly("assistant"))
    return sequence(optional(said), content)


def _one_call(functions: Functions, name: str) -> Node:
    head = [exactly(_CHANNEL), exactly(f"commentary to={_FUNCTIONS}{name} ")]
    kind = [exactly(_CONSTRAIN), exactly("json"), exactly(_MESSAGE)]
    return sequence(*head, *kind, valid(functions.schema(name)))


class HarmonyParser:
    """Divides an answer into its messages, and these into thoughts, text and calls.

    A call that is none is text. What has no header is text as well.

    Args:
        functions: those of the request, None where it offers none.
        growing: tell calls while they come, in pieces.
        one_call: the answer ends with its first call.
    """

    over = False

    def __init__(
        self, functions: Functions | None, *, growing: bool = False, one_call: bool = False
    ) -> None:
        self._functions = functions
        self._growing = growing
        self._one_call = one_call
        self._held = ""
        self._in_header = True
        self._channel = ""
        self._function = ""
        """The one that the message at hand calls."""
        self._told = False
        """Something has been told of the call at hand."""
        self._messages = 0
        self._apart = {"analysis": False, "final": False}
        """Whether there was something before in thoughts, and in text."""
        self.called = False
        self.ended = False

    @property
    def thinking(self) -> bool:
        """The last character belonged to thoughts."""
        return not self._in_header and self._channel == "analysis"

    @property
    def looking(self) -> bool:
        """There may be thoughts yet."""
        return self._in_header or self._channel != "final"

    @property
    def held(self) -> int:
        """Characters that are held back."""
        return len(self._held)

    def feed(self, text: str) -> Parts:
        """Take more of the answer."""
        self._held += text
        parts = Parts()
        while self._held and not self.ended:
            before = self._held, self._in_header
            parts = _plus(parts, self._header() if self._in_header else self._content())
            if (self._held, self._in_header) == before:
                break
        return parts

    def finish(self) -> Parts:
        """The end: what was held back."""
        if self._in_header:
            rest, self._held = self._held, ""
            whole = not self._messages and _CHANNEL not in rest
            return Parts("", rest) if whole and rest.strip() else Parts()
        return self._leave(len(self._held))

    def _header(self) -> Parts:
        """Up to the beginning of a message's content, where that has come."""
        lead, at = self._held.lstrip(), self._held.find(_MESSAGE)
        known = any(lead.startswith(each) or each.startswith(lead) for each in _BEGINNINGS)
        if not known or max(at, 0) > _MAX_HEADER or (at < 0 and len(self._held) > _LONGEST):
            self._enter("final", "")  # it is none
            return Parts()
        if at < 0:
            return Parts()
        found = _HEADER.fullmatch(self._held[:at])
        self._held = self._held[at + len(_MESSAGE) :]
        channel = found["channel"] if found else None
        recipient = (found["early"] or found["late"] or "") if found else ""
        self._enter(channel or "final", recipient)
        return Parts()

    def _enter(self, channel: str, recipient: str) -> None:
        self._in_header = False
        self._told = False
        self._messages += 1
        name = recipient.removeprefix(_FUNCTIONS)
        offered = self._functions is not None and name in self._functions
        self._function = name if recipient and offered else ""
        self._channel = "analysis" if channel == "analysis" else "final"
        if self._function:
            self._channel = "commentary"

    def _content(self) -> Parts:
        ends = [at for end in _ENDS if (at := self._held.find(end)) >= 0]
        if ends:
            return self._leave(min(ends))
        safe = min(marker_begins(self._held, end) for end in _ENDS)
        if self._function and not self._growing:
            return Parts()
        return self._take(safe)

    def _leave(self, at: int) -> Parts:
        """The message's content ends here."""
        content = self._held[:at]
        if self._function and not self._growing:
            self._held = self._held[at:]
            parts = self._call(content)
        else:
            parts = self._take(at)
            if self._function:
                if not self._told:
                    parts = self._piece("{}")
                self.ended = self._one_call
        end = next((end for end in _ENDS if self._held.startswith(end)), "")
        self._held = self._held[len(end) :]
        self._in_header = True
        return parts

    def _take(self, size: int) -> Parts:
        """Tell this much of the content at hand."""
        content, self._held = self._held[:size], self._held[size:]
        if self._function:
            return self._piece(content)
        if not content:
            return Parts()
        if not self._told:
            content = "\n" * self._apart[self._channel] + content
            self._told = self._apart[self._channel] = True
        return Parts(content) if self._channel == "analysis" else Parts("", content)

    def _piece(self, content: str) -> Parts:
        if not self._told:
            content = content.lstrip()
            if not content:
                return Parts()
            self._told = self.called = True
            return Parts("", "", (ToolCall(self._function, ""), ToolCall("", content)))
        return Parts("", "", (ToolCall("", content),) if content else ())

    def _call(self, content: str) -> Parts:
        try:
            call = make_call(self._function, read_json(content) if content.strip() else {})
        except BrokenCall:
            return Parts("", content)
        self.called = True
        self.ended = self._one_call
        return Parts("", "", (call,))


def _plus(one: Parts, other: Parts) -> Parts:
    return Parts(one.reasoning + other.reasoning, one.text + other.text, one.calls + other.calls)
