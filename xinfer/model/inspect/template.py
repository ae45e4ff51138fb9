"""Where a model keeps its chat template, and what the template says that the model can do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from xinfer.model.inspect.json_files import Listing

_TOOLS = re.compile(r"\b(tools|available_tools|tool_calls|builtin_tools|documents_and_tools)\b")
_THINKS = re.compile(
    r"<think>|</think>|<\|channel\|>|\[THINK\]|<seed:think>|<\|START_THINKING\|>|reasoning_content"
)
_SWITCH = re.compile(r"\b(enable_thinking|thinking|thinking_mode|reasoning)\b")
"""Names by which a template is told whether the model is to think."""
_DEFAULT = "default"


def chat_template(files: Listing, tokenizer: Mapping[str, Any]) -> str:
    """The template that is used where none is named; empty if there is none.

    Raises:
        InvalidRequest: a file that holds it is damaged.
    """
    text = files.text("chat_template.jinja")
    return (
        text
        or _default(files.json("chat_template.json").get("chat_template"))
        or _default(tokenizer.get("chat_template"))
    )


def _default(value: Any) -> str:
    """Of a template, or of a list of named ones."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    named = {
        one["name"]: one["template"]
        for one in value
        if isinstance(one, dict)
        and isinstance(one.get("name"), str)
        and isinstance(one.get("template"), str)
    }
    return str(named.get(_DEFAULT) or next(iter(named.values()), ""))


def template_abilities(template: str) -> list[str]:
    """chat, and what else the template knows of: tools, reasoning, and hybrid where reasoning can
    be switched off; nothing without a template."""
    if not template:
        return []
    abilities = ["chat"]
    if _TOOLS.search(template):
        abilities.append("tools")
    if _THINKS.search(template):
        abilities.append("reasoning")
        if _SWITCH.search(template):
            abilities.append("hybrid")
    return abilities
