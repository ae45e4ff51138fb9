"""The inference calls, and which handle a model gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from xinfer.client.errors import UnsupportedModelError
from xinfer.client.wire import JSON, Call


def generate(model_uid: str, prompt: str, generate_config: Mapping[str, Any] | None) -> Call[JSON]:
    return Call(
        "generate",
        "POST",
        "/v1/completions",
        body={"model": model_uid, "prompt": prompt, **(generate_config or {})},
        result=dict,
    )


def chat(
    model_uid: str,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None,
    enable_thinking: bool | None,
    generate_config: Mapping[str, Any] | None,
) -> Call[JSON]:
    optional = {"tools": tools, "enable_thinking": enable_thinking}
    return Call(
        "generate chat completion",
        "POST",
        "/v1/chat/completions",
        body={
            "model": model_uid,
            "messages": messages,
            **{name: value for name, value in optional.items() if value is not None},
            **(generate_config or {}),
        },
        result=dict,
    )


def handle_kind(model_uid: str, description: Mapping[str, Any]) -> Literal["chat", "generate"]:
    """Which handle a model with this description gets.

    Raises:
        UnsupportedModelError: this client has none for it.
    """
    model_type = description.get("model_type")
    abilities = description.get("model_ability") or []
    if model_type == "LLM" and "chat" in abilities:
        return "chat"
    if model_type == "LLM" and "generate" in abilities:
        return "generate"
    raise UnsupportedModelError(
        f"Model {model_uid!r} is of type {model_type!r} with abilities {abilities}: this client "
        "has handles for models of type 'LLM' that can 'chat' or 'generate'. Call the others "
        "over HTTP."
    )
