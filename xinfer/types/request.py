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
    structural_tag: parts of these kinds, texts between them, and text up to one of them, as
        xgrammar's structural tags have it. The pipeline makes them; no request has one.
    """
    source: str
    field: str = ""
    """The request's field that it came from, for errors."""


class Media(msgspec.Struct, frozen=True, array_like=True):
    """A picture or a recording, as its client sent it."""

    data: bytes
    where: str
    """The part of the request that it came in, for errors: messages[0].content[1], image."""
    kind: str = "picture"
    """In a conversation: picture or recording."""


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="chat"):
    """Messages in OpenAI's shape, already validated; the replica's template renders them."""

    messages: list[dict[str, Any]]
    media: tuple[Media, ...] = ()
    """A part `{"type": "image_url", "media": n}` of a message stands for number n of them; so does
    one of the type `input_audio`."""
    template_kwargs: dict[str, Any] = {}
    reasoning_effort: str | None = None
    tools: list[dict[str, Any]] = []
    """Functions that the model may call, in OpenAI's shape."""
    tool_choice: str = "auto"
    """auto, none, required, or named: only `tool_name`, which is called."""
    tool_name: str = ""
    parallel_tool_calls: bool = True
    """Whether an answer may have more than one call."""
    call_deltas: bool = False
    """Tell calls while they come, in pieces, as far as the model's form of them allows it."""
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
    suffix: str = ""
    """What follows behind the answer, which is to fit between; empty: nothing is known of it."""


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


class ImageRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="image"):
    """Pictures to be drawn. None means: the model's own default."""

    task: str
    """text2image, image2image or inpainting."""
    prompt: str
    negative_prompt: str | None = None
    """What is not to be seen."""
    n: int = 1
    width: int | None = None
    """Pixels; of a given picture, its own by default."""
    height: int | None = None
    images: tuple[Media, ...] = ()
    """What is drawn after, where the task has it; most models take one."""
    mask: Media | None = None
    """Where to draw, as the task inpainting has it: white is drawn anew, black is kept."""
    controls: tuple[Media, ...] = ()
    """A picture for each ControlNet that the model was launched with."""
    control_scale: float | None = None
    """How strongly these bear on the result."""
    steps: int | None = None
    guidance: float | None = None
    """How strongly the prompt bears on the result."""
    strength: float | None = None
    """How far the result may be from the given picture, from 0 to 1."""
    seed: int | None = None
    """Of the first picture; each further one has the next. None: random ones."""
    scheduler: str | None = None
    """By one of the names that the engine tells."""
    adapter: str | None = None
    """Name of a LoRA adapter of the deployment; None for all that it has."""
    previews: int = 0
    """How often each picture is to be shown while it is drawn; fewer, where it has fewer steps."""


class TranscribeRequest(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="transcribe"
):
    """Speech to be written down. None means: the model's own default."""

    sound: Media
    language: str | None = None
    """As ISO 639-1 has it; None: to be found out."""
    prompt: str | None = None
    """Text to go on behind: names and spellings in it are more likely then."""
    temperature: float | None = None
    translate: bool = False
    """Write it down in English."""
    words: bool = False
    """Tell when each word is said."""


class SpeechRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="speech"):
    """Text to be spoken. None and empty mean: the model's own default."""

    text: str
    voice: str = ""
    """By one of the names that the engine tells."""
    speed: float = 1.0
    """1 is as the model speaks, 2 is twice as fast."""
    language: str | None = None
    instructions: str = ""
    """How to speak, in words."""
    reference: Media | None = None
    """A recording of the voice to speak with."""
    reference_text: str = ""
    """What is said in it."""
    seed: int | None = None


TextRequest = ChatRequest | CompletionRequest
WorkRequest = ImageRequest | TranscribeRequest | SpeechRequest
Request = TextRequest | EncodeRequest | WorkRequest
