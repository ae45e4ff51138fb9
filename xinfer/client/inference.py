"""The inference calls, and which handle a model gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

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


def create_embedding(
    model_uid: str, input: str | Sequence[str], parameters: Mapping[str, Any]
) -> Call[JSON]:
    return Call(
        "create the embeddings",
        "POST",
        "/v1/embeddings",
        body={"model": model_uid, "input": input, **parameters},
        result=dict,
    )


def convert_ids_to_tokens(
    model_uid: str, input: Sequence[Any], parameters: Mapping[str, Any]
) -> Call[list[Any]]:
    return Call(
        "decode token ids",
        "POST",
        "/v1/convert_ids_to_tokens",
        body={"model": model_uid, "input": input, **parameters},
        result=list,
    )


def rerank(
    model_uid: str,
    documents: Sequence[Any],
    query: str,
    top_n: int | None,
    return_documents: bool | None,
    return_len: bool | None,
    parameters: Mapping[str, Any],
) -> Call[JSON]:
    optional = {"top_n": top_n, "return_documents": return_documents, "return_len": return_len}
    return Call(
        "rerank documents",
        "POST",
        "/v1/rerank",
        body={
            "model": model_uid,
            "documents": documents,
            "query": query,
            **{name: value for name, value in optional.items() if value is not None},
            **parameters,
        },
        result=dict,
    )


def request_progress(request_id: str) -> Call[JSON]:
    return Call(
        "get the request's progress",
        "GET",
        f"/v1/requests/{quote(request_id, safe='')}/progress",
        result=dict,
    )


HandleKind = Literal["chat", "generate", "embedding", "rerank", "image", "audio"]


def handle_kind(model_uid: str, description: Mapping[str, Any]) -> HandleKind:
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
    if model_type == "embedding":
        return "embedding"
    if model_type == "rerank":
        return "rerank"
    if model_type == "image":
        return "image"
    if model_type == "audio":
        return "audio"
    raise UnsupportedModelError(
        f"Model {model_uid!r} is of type {model_type!r} with abilities {abilities}: this client "
        "has handles for models of type 'embedding', 'rerank', 'image' and 'audio', and for those "
        "of type 'LLM' that can 'chat' or 'generate'. Call the others over HTTP."
    )
