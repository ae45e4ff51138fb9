"""What a chat request asks of a model beyond text: to think, and to call functions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from xinfer.errors import InvalidRequest
from xinfer.model.engine import Tokenizer
from xinfer.model.llm.pipeline import harmony
from xinfer.model.llm.pipeline.forms import (
    KIND,
    behind_thoughts,
    constraint_of,
    either,
    form_of,
)
from xinfer.model.llm.pipeline.harmony import HarmonyParser
from xinfer.model.llm.pipeline.message import MessageParser
from xinfer.model.llm.pipeline.reasoning import ReasoningParser, Tags, find_tags
from xinfer.model.llm.pipeline.template import ChatTemplate
from xinfer.model.llm.pipeline.tools import Functions, ToolParser, detect, tool_parser
from xinfer.model.llm.pipeline.tools.forced import force_call
from xinfer.model.llm.pipeline.tools.parser import MOST_CALLS, MarkedParser
from xinfer.model.llm.pipeline.tools.registry import HARMONY
from xinfer.types.model import ModelSpec
from xinfer.types.request import ChatRequest, Constraint

_SWITCHES = ("enable_thinking", "thinking")
_NO_EFFORT = ("none", "minimal")


@dataclass(frozen=True)
class Turn:
    """One request: what its prompt is rendered with, and how its answer is read."""

    tools: list[dict[str, Any]]
    options: dict[str, Any]
    """Variables of the chat template."""
    form: Constraint | None
    """What the answer has to be; thoughts, where there are `tags`, come before it."""
    tags: Tags | None
    """None: thoughts, if any, are not told apart."""
    may_think: bool
    """Thoughts may come though the prompt does not open them."""
    calls: type[ToolParser] | None
    one_call: bool
    growing: bool
    """Calls are told while they come."""
    harmony: bool
    """The model is one that writes messages in channels."""

    def constraint(self, prompt: str) -> Constraint | None:
        """What all of the output has to be.

        Args:
            prompt: as rendered. Some templates end with the tag that opens the thoughts, or with
                thoughts that have ended.
        """
        if self.harmony:
            return self._harmony_constraint()
        if self.form is None or self.tags is None:
            return self.form
        opened = self._opens(prompt)
        if not opened and (not self.may_think or prompt.rstrip().endswith(self.tags.end)):
            return self.form
        content = form_of(self.form)
        if content is None:
            return self.form
        return constraint_of(behind_thoughts(content, *self.tags, opened=opened), self.form.field)

    def _harmony_constraint(self) -> Constraint | None:
        content = form_of(self.form) if self.form is not None and self.may_think else None
        if self.form is None or content is None:
            return self.form
        if self.form.field != "tool_choice":
            content = harmony.answer_form(content)
        return constraint_of(harmony.behind_analysis(content), self.form.field)

    def parser(self, prompt: str) -> MessageParser | HarmonyParser | None:
        """Takes the answer to this prompt apart; None: all of it is text."""
        if self.harmony:
            functions = Functions(self.tools) if self.tools else None
            return HarmonyParser(functions, growing=self.growing, one_call=self.one_call)
        reasoning = None
        if self.tags is not None:
            reasoning = ReasoningParser(self.tags, opened=self._opens(prompt))
        if reasoning is None and self.calls is None:
            return None
        tools = self.calls(Functions(self.tools)) if self.calls is not None else None
        if tools is not None:
            tools.growing = self.growing
        return MessageParser(reasoning, tools, one_call=self.one_call)

    def _opens(self, prompt: str) -> bool:
        return self.tags is not None and prompt.rstrip().endswith(self.tags.begin)


class Dialogue:
    """How one model is asked to think and to call, and how it answers.

    Args:
        source: of its chat template.
        pieces: the bytes of each token, as for text.

    Raises:
        InvalidRequest: the model is to be read by a parser that there is not.
    """

    def __init__(
        self,
        source: str,
        template: ChatTemplate,
        tokenizer: Tokenizer,
        pieces: Sequence[bytes],
        spec: ModelSpec,
    ) -> None:
        self._name = spec.name
        self._source = source
        self._takes_tools = template.takes_tools
        self._defaults = dict(spec.template_kwargs)
        named = spec.tool_call_parser
        self._harmony = named == HARMONY or (not named and harmony.is_harmony(source))
        told = Tags(*spec.reasoning_tags) if spec.reasoning_tags else find_tags(source)
        self._tags = None if self._harmony else told
        self._told_apart = self._tags if spec.reasoning_content else None
        switches = () if self._harmony else _SWITCHES
        self._switches = [name for name in switches if name in source]
        self._knows_effort = "reasoning_effort" in source
        # What is forced on an engine without structural tags is in no form of the model's.
        known = named and not self._harmony
        self._parser = tool_parser(named) if known else detect(source)
        markers = [*(self._parser.markers if self._takes_tools else ()), *(self._tags or ())]
        markers += harmony.MARKERS if self._harmony else ()
        self.pieces = _with_markers(tokenizer, pieces, markers)
        """The bytes of each token; also of control tokens that thoughts or calls are known by."""

    def turn(self, request: ChatRequest, kinds: Collection[str]) -> Turn:
        """Settle what a request asks for.

        Args:
            kinds: of constraints that the engine enforces.

        Raises:
            InvalidRequest: the model's template does not show functions, the engine cannot be held
                to a call, or the model does not think and is to think hard
                (`unsupported_parameter`).
        """
        defaults = self._defaults
        asked = {**self._effort(request), **request.template_kwargs}
        tools = [] if request.tool_choice == "none" else request.tools
        if tools and not self._takes_tools:
            raise InvalidRequest(
                f"The chat template of {self._name} does not show functions to the model. Leave "
                "tools out, or use a model with the ability 'tools'.",
                code="unsupported_parameter",
                param="tools",
            )
        if request.tool_choice == "named":
            tools = [tool for tool in tools if tool["function"]["name"] == request.tool_name]
        form, calls = self._form(request, Functions(tools), kinds)
        tags = self._told_apart
        if form is not None and (tags is None or KIND not in kinds):
            # All of the answer has the form that is asked for: there is no room for thoughts.
            tags = None
            defaults = {**defaults, **dict.fromkeys(self._switches, False)}
        options = {**defaults, **asked}
        off = any(options.get(switch) is False for switch in self._switches)
        return Turn(
            tools,
            options,
            form,
            tags,
            may_think=KIND in kinds and not off,
            calls=calls,
            one_call=bool(tools) and not request.parallel_tool_calls,
            growing=request.call_deltas,
            harmony=self._harmony and (calls is None or calls is self._parser),
        )

    def _form(
        self, request: ChatRequest, functions: Functions, kinds: Collection[str]
    ) -> tuple[Constraint | None, type[ToolParser] | None]:
        """What the answer has to be, and what its calls are read with."""
        form, choice = request.constraint, request.tool_choice
        if not functions.names:
            return form, None
        if choice != "auto" and form is not None:
            raise InvalidRequest(
                f"tool_choice {choice} does not go with another form of the answer. Leave one of "
                "them out.",
                param="tool_choice",
            )
        own = self._own_form(request, functions) if KIND in kinds else None
        if own is not None:
            return own, self._parser
        if choice == "auto":
            return form, self._parser
        return force_call(functions, kinds)

    def _own_form(self, request: ChatRequest, functions: Functions) -> Constraint | None:
        """The form of calls that is the model's own; None: it cannot be told, or is free."""
        if self._harmony:
            forced = request.tool_choice != "auto"
            return constraint_of(harmony.call_form(functions), "tool_choice") if forced else None
        choice, parser = request.tool_choice, self._parser
        several = request.parallel_tool_calls and choice != "named"
        most = MOST_CALLS if several else 1
        if choice != "auto":
            calls = parser.form(functions, most, self._source)
            return None if calls is None else constraint_of(calls, "tool_choice")
        if request.constraint is not None:
            calls, content = parser.form(functions, most, self._source), form_of(request.constraint)
            if calls is None or content is None:
                return None
            return constraint_of(either([content, calls]), request.constraint.field)
        if functions.any_strict and issubclass(parser, MarkedParser):
            calls = parser.anywhere(functions.loosely(), self._source)
            return None if calls is None else constraint_of(calls, "tools")
        return None

    def _effort(self, request: ChatRequest) -> dict[str, Any]:
        """`reasoning_effort` in the template's words."""
        effort = request.reasoning_effort
        if effort is None:
            return {}
        if self._knows_effort:
            return {"reasoning_effort": effort}
        if self._switches:
            return dict.fromkeys(self._switches, effort not in _NO_EFFORT)
        if self._tags is None and effort not in _NO_EFFORT:
            raise InvalidRequest(
                f"{self._name} does not think before it answers, and cannot do so with effort "
                f"{effort[:40]!r}. Leave reasoning_effort out.",
                code="unsupported_parameter",
                param="reasoning_effort",
            )
        return {}


def _with_markers(
    tokenizer: Tokenizer, pieces: Sequence[bytes], markers: Sequence[str]
) -> Sequence[bytes]:
    spelled = list(pieces)
    for marker in markers:
        ids = tokenizer.encode(marker, special=True)
        if len(ids) == 1 and not pieces[ids[0]] and ids[0] not in tokenizer.eos_ids:
            spelled[ids[0]] = marker.encode()
    return spelled if spelled != list(pieces) else pieces
