"""Typed inference requests: what the API asks and the replica's pipeline answers."""

from __future__ import annotations

from typing import Any

import msgspec


class Sampling(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How to choose tokens. None means: the model's own default, then the engine's."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    logit_bias: dict[int, float] | None = None
    ignore_eos: bool = False


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="chat"):
    """Messages in OpenAI's shape, already validated; the replica's template renders them."""

    messages: list[dict[str, Any]]
    template_kwargs: dict[str, Any] = {}
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()


class CompletionRequest(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="completion"
):
    """One prompt, as text or as token ids of the model's own tokenizer."""

    prompt: str | list[int]
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    echo: bool = False
    """Begin the answer with the prompt."""


Request = ChatRequest | CompletionRequest
