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
    typical_p: float | None = None
    top_n_sigma: float | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    mirostat: int | None = None
    """0, 1 or 2; from 1 on it replaces the samplers that cut the distribution."""
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_penalty_last_n: int | None = None
    dry_sequence_breakers: tuple[str, ...] | None = None
    repeat_last_n: int | None = None
    """Tokens that the penalties look back at; 0: none, -1: the whole context."""
    logprobs: int | None = None
    """Alternatives to tell with each token's log-probability; None: tell neither."""


class Constraint(msgspec.Struct, frozen=True, array_like=True):
    """What the output has to be."""

    kind: str
    """One of these, by what `source` is.

    json_object: nothing; any JSON object.
    json_schema: a JSON schema, as text.
    regex: a regular expression that the whole output matches.
    choice: a JSON list of texts, one of which the output is.
    grammar: a GBNF grammar, whose root rule is `root`.
    """
    source: str
    field: str = ""
    """The request's field that it came from, for errors."""


class Media(msgspec.Struct, frozen=True, array_like=True):
    """A picture in a message, as its client sent it."""

    data: bytes
    where: str
    """The part of the message, for errors: messages[0].content[1]."""


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="chat"):
    """Messages in OpenAI's shape, already validated; the replica's template renders them."""

    messages: list[dict[str, Any]]
    media: tuple[Media, ...] = ()
    """A part `{"type": "image_url", "media": n}` of a message stands for number n of them."""
    template_kwargs: dict[str, Any] = {}
    reasoning_effort: str | None = None
    tools: list[dict[str, Any]] = []
    """Functions that the model may call, in OpenAI's shape."""
    tool_choice: str = "auto"
    """auto, none, required, or named: only `tool_name`, which is called."""
    tool_name: str = ""
    parallel_tool_calls: bool = True
    """Whether an answer may have more than one call."""
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    constraint: Constraint | None = None
    adapter: str | None = None
    """Name of a LoRA adapter of the deployment."""


class CompletionRequest(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="completion"
):
    """One prompt, as text or as token ids of the model's own tokenizer."""

    prompt: str | list[int]
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    constraint: Constraint | None = None
    adapter: str | None = None
    """Name of a LoRA adapter of the deployment."""
    echo: bool = False
    """Begin the answer with the prompt."""


class EncodeRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="encode"):
    """Texts to make vectors of, or to score, each by itself or together with a query."""

    texts: list[str | list[int]]
    """As text, or as token ids of the model's own tokenizer, which are used as they are."""
    queries: list[str] = []
    """None: texts by themselves; one: for all of them; else one for each."""
    prompt: str | None = None
    """Name of a task, where the model has something to put before the texts for it."""
    max_tokens: int | None = None
    """Most tokens of a text; at most, and by default, the model's own limit."""
    truncate: bool | None = None
    """Whether a longer one is cut short, and told; it fails the request otherwise. None: as the
    model was launched."""
    dimensions: int | None = None
    """Length of the vectors, where the model's may be shortened."""
    sparse: bool = False
    """Vectors are to say how much each token of a text says, instead of being dense."""
    normalise: bool = True
    """Whether vectors are to have the length 1; False: as the model makes them."""


TextRequest = ChatRequest | CompletionRequest
Request = TextRequest | EncodeRequest
