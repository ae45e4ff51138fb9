"""Chat templates: messages to the text of a prompt, as the model was trained to see it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from xinfer.errors import InvalidRequest

MAX_SOURCE = 1 << 18
"""Longest template accepted, in characters; those in use have a tenth of it."""

_INPUTS = frozenset({"messages", "tools", "documents", "add_generation_prompt"})
_PROBE = "content-of-the-probe"
_PROBE_TOOL = {
    "type": "function",
    "function": {
        "name": _PROBE,
        "description": "A probe.",
        "parameters": {"type": "object", "properties": {"a": {"type": "string"}}, "required": []},
    },
}
_SHORT_ID = re.compile(r"[A-Za-z0-9]{9}")
_WANTS_SHORT_IDS = re.compile(r"\|\s*length\s*(?:!=|==)\s*9\b")


class Parts(list[dict[str, str]]):
    """Content of a message that the template gets as it is: parts of the types text and image."""


class RenderedTooLong(Exception):
    """The text grew beyond the template's `max_length`."""


class ChatTemplate:
    """A model's Jinja template, in a sandbox set up as the model's authors expect.

    Args:
        source: the template.
        special_tokens: `bos_token`, `eos_token`, … by the names that templates use.
        max_length: characters of text at which rendering is given up.

    Raises:
        InvalidRequest: the template is too long or is not Jinja.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str], *, max_length: int) -> None:
        if len(source) > MAX_SOURCE:
            raise InvalidRequest(
                f"The model's chat template has {len(source)} characters; "
                f"at most {MAX_SOURCE} are accepted."
            )
        environment = _environment()
        try:
            self._template = environment.from_string(source)
        except (jinja2.TemplateError, RecursionError) as error:
            raise InvalidRequest(f"The model's chat template is not valid: {error}") from error
        self._special_tokens = dict(special_tokens)
        self._reserved = _INPUTS | special_tokens.keys() | environment.globals.keys()
        self._max_length = max_length
        self._knows_developer = "developer" in source
        self._knows_thinking = "message.thinking" in source
        self._wants_parts = not self._shows(_PROBE) and self._shows(_parts(_PROBE))
        self._wants_objects, self._takes_missing = self._find_history()
        self._wants_short_ids = bool(_WANTS_SHORT_IDS.search(source))
        self.takes_tools = self._shows_tools()
        """Whether it tells the model what functions it may call."""

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        options: Mapping[str, Any],
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        """The prompt's text, ending where the assistant's answer begins.

        Text parts of one message are joined by line breaks, unless the template takes parts only.
        A `developer` message is a `system` message to a template that does not know the role.
        Arguments of earlier calls are objects, unless the template wants their text.

        Args:
            messages: in OpenAI's shape.
            options: variables for the template, such as `enable_thinking`.
            tools: functions that the model may call, in OpenAI's shape.

        Raises:
            InvalidRequest: the template refuses the messages (with its own words), a part is not
                text, or an option has a name that is the server's.
            RenderedTooLong: rendering was given up.
        """
        taken = sorted(self._reserved & options.keys())
        if taken:
            raise InvalidRequest(
                f"chat_template_kwargs may not set {', '.join(taken)}: the server does.",
                param="chat_template_kwargs",
            )
        prepared = [self._prepare(message, index) for index, message in enumerate(messages)]
        try:
            return self._render(prepared, options, tools)
        except RenderedTooLong:
            raise
        except Exception as error:  # whatever the model's own code raises
            raise InvalidRequest(
                f"The model's chat template does not take these messages: {error}",
                param="messages",
            ) from error

    def shows(self, content: Parts) -> str:
        """The text of a conversation of this one message; empty where the template fails on it."""
        try:
            return self._render([{"role": "user", "content": content}], {})
        except Exception:  # whatever the model's own code raises
            return ""

    def _render(
        self,
        messages: list[dict[str, Any]],
        options: Mapping[str, Any],
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        variables = {
            "messages": messages,
            "tools": list(tools) or None,
            "documents": None,
            "add_generation_prompt": True,
            **self._special_tokens,
            **options,
        }
        chunks = []
        length = 0
        for chunk in self._template.generate(variables):
            chunks.append(chunk)
            length += len(chunk)
            if length > self._max_length:
                raise RenderedTooLong
        return "".join(chunks)

    def _prepare(self, message: Mapping[str, Any], index: int) -> dict[str, Any]:
        prepared = dict(message)
        if prepared.get("role") == "developer" and not self._knows_developer:
            prepared["role"] = "system"
        content = prepared.get("content")
        if isinstance(content, list) and not isinstance(content, Parts):
            content = "\n".join(_texts(content, index))
        if isinstance(content, str):
            prepared["content"] = _parts(content) if self._wants_parts else content
        thoughts = prepared.get("reasoning_content")
        if self._knows_thinking and thoughts and not content:
            prepared.setdefault("thinking", thoughts)
        if prepared.get("tool_calls"):
            prepared["tool_calls"] = [self._call(call) for call in prepared["tool_calls"]]
            if content is None and not self._takes_missing:
                prepared["content"] = ""
        if self._wants_short_ids and prepared.get("tool_call_id"):
            prepared["tool_call_id"] = _short_id(prepared["tool_call_id"])
        return prepared

    def _call(self, call: Mapping[str, Any]) -> dict[str, Any]:
        function = dict(call["function"])
        if self._wants_objects:
            function["arguments"] = _arguments(function["arguments"])
        prepared = {**call, "type": "function", "function": function}
        if self._wants_short_ids and call.get("id"):
            prepared["id"] = _short_id(call["id"])
        return prepared

    def _shows_tools(self) -> bool:
        message = {"role": "user", "content": _parts("Hi") if self._wants_parts else "Hi"}
        try:
            return _PROBE in self._render([message], {}, [_PROBE_TOOL])
        except Exception:  # whatever the model's own code raises
            return False

    def _find_history(self) -> tuple[bool, bool]:
        """How the template wants earlier calls: arguments as objects, and missing text as such."""
        for objects, missing in ((True, True), (True, False), (False, True), (False, False)):
            if self._shows_call({"a": _PROBE} if objects else f'{{"a": "{_PROBE}"}}', missing):
                return objects, missing
        return False, False

    def _shows_call(self, arguments: Any, missing: bool) -> bool:
        """Whether it renders a call with its arguments in JSON, or one by one."""
        call = {"name": "f", "arguments": arguments}
        calls = [{"id": "a" * 9, "type": "function", "function": call}]
        messages: list[dict[str, Any]] = [
            {"role": "user", "content": _parts("Hi") if self._wants_parts else "Hi"},
            {"role": "assistant", "content": None if missing else "", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "a" * 9, "name": "f", "content": "1"},
        ]
        try:
            text = self._render(messages, {})
        except Exception:  # whatever the model's own code raises
            return False
        return _PROBE in text and f"'{_PROBE}'" not in text and "None" not in text

    def _shows(self, content: Any) -> bool:
        """Whether the template renders this content of a user's message."""
        try:
            return _PROBE in self._render([{"role": "user", "content": content}], {})
        except Exception:  # whatever the model's own code raises
            return False


def _arguments(text: Any) -> Any:
    """The object that the text of arguments stands for; what is none stays as it is."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, TypeError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def _short_id(given: str) -> str:
    """The id of a call as Mistral's templates want it: nine letters and digits."""
    if _SHORT_ID.fullmatch(given):
        return given
    return hashlib.blake2s(given.encode(errors="replace")).hexdigest()[:9]


def _parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def _texts(parts: list[Any], index: int) -> list[str]:
    texts = []
    for number, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            where = f"messages[{index}].content[{number}]"
            raise InvalidRequest(
                f"{where} is of type {kind!r}; this model takes parts of type 'text' with a "
                "string in 'text'.",
                param=where,
            )
        texts.append(part["text"])
    return texts


class _Generation(Extension):
    """`{% generation %}`: marks what the model itself said, for training; here a no-op."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    """The environment that templates on the hubs are written for."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes <, > and &, which the model was not trained to see.
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)
