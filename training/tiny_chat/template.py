"""Rendering of conversations by the chat template, as the engines do it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

TEMPLATE_FILE = Path(__file__).parent / "chat_template.jinja"

Message = dict[str, Any]
Tool = dict[str, Any]


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


@cache
def _template() -> Any:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    return environment.from_string(TEMPLATE_FILE.read_text(encoding="utf-8"))


def render(
    messages: Sequence[Message], tools: Sequence[Tool] = (), *, enable_thinking: bool = False
) -> str:
    """The prompt for the next assistant message.

    Raises:
        TemplateError: a message has an unknown role.
    """
    text: str = _template().render(
        messages=list(messages),
        tools=list(tools),
        enable_thinking=enable_thinking,
        add_generation_prompt=True,
    )
    return text
