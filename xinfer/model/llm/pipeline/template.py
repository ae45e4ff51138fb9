"""Chat templates: messages to the text of a prompt, as the model was trained to see it."""

from __future__ import annotations

import json
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
        self._wants_parts = not self._shows(_PROBE) and self._shows(_parts(_PROBE))

    def render(self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> str:
        """The prompt's text, ending where the assistant's answer begins.

        Text parts of one message are joined by line breaks, unless the template takes parts only.
        A `developer` message is a `system` message to a template that does not know the role.

        Args:
            messages: in OpenAI's shape.
            options: variables for the template, such as `enable_thinking`.

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
            return self._render(prepared, options)
        except RenderedTooLong:
            raise
        except Exception as error:  # whatever the model's own code raises
            raise InvalidRequest(
                f"The model's chat template does not take these messages: {error}",
                param="messages",
            ) from error

    def _render(self, messages: list[dict[str, Any]], options: Mapping[str, Any]) -> str:
        variables = {
            "messages": messages,
            "tools": None,
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
        if isinstance(content, list):
            content = "\n".join(_texts(content, index))
        if isinstance(content, str):
            prepared["content"] = _parts(content) if self._wants_parts else content
        return prepared

    def _shows(self, content: Any) -> bool:
        """Whether the template renders this content of a user's message."""
        try:
            return _PROBE in self._render([{"role": "user", "content": content}], {})
        except Exception:  # whatever the model's own code raises
            return False


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
