"""The engine contract, and the registry that finds an engine by name.

An engine turns typed requests into typed events and knows nothing of HTTP, actors or OpenAI.
Importing an engine's module must be cheap: its library is imported in `load`.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable, Sequence
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any, Protocol, cast, runtime_checkable

import msgspec

from xinfer.errors import InvalidRequest
from xinfer.types.deployment import LaunchSpec
from xinfer.types.failure import Failure
from xinfer.types.model import EngineStats, Loaded, Memory, ModelSpec, Progress
from xinfer.types.request import Constraint, Media, Sampling

ENTRY_POINT_GROUP = "xinfer.engines"

BUILTIN: dict[str, str] = {
    "echo": "xinfer.model.llm.echo:EchoEngine",
    "llama-cpp-python": "xinfer.model.llm.llama_cpp.engine:LlamaCppEngine",
    "llama-cpp-embedding": "xinfer.model.encode.llama_cpp.embedding:LlamaCppEmbedding",
    "llama-cpp-rerank": "xinfer.model.encode.llama_cpp.rerank:LlamaCppRerank",
    "transformers": "xinfer.model.llm.transformers.engine:TransformersEngine",
    "vllm": "xinfer.model.llm.vllm.engine:VllmEngine",
    "xllamacpp": "xinfer.model.llm.xllamacpp.engine:XllamacppEngine",
    "xllamacpp-embedding": "xinfer.model.encode.xllamacpp.embedding:XllamacppEmbedding",
    "xllamacpp-rerank": "xinfer.model.encode.xllamacpp.rerank:XllamacppRerank",
    "diffusers": "xinfer.model.image.diffusers.engine:DiffusersEngine",
    "sentence_transformers": (
        "xinfer.model.encode.sentence_transformers.engine:SentenceTransformersEngine"
    ),
    "vllm-pooling": "xinfer.model.encode.vllm.engine:VllmPoolingEngine",
    "piper": "xinfer.model.audio.piper.engine:PiperEngine",
    "faster-whisper": "xinfer.model.audio.faster_whisper.engine:FasterWhisperEngine",
    "transformers-speech": "xinfer.model.audio.speech.engine:SpeechEngine",
    "transformers-whisper": "xinfer.model.audio.whisper.engine:WhisperEngine",
}


class Support(msgspec.Struct, frozen=True):
    """Whether an engine can run a model here; if not, why, and which extra would bring it."""

    ok: bool
    reason: str = ""
    extra: str | None = None
    runs_code: bool = False
    """It would run the program code that comes with this model, `ModelSpec.remote_code`."""


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of an engine's typed options; every field has a default and a docstring."""


class MediaPrompt(msgspec.Struct, frozen=True):
    """A prompt with media in it."""

    ids: list[int]
    """For each token of a medium there is a negative number; different media have different
    ones."""
    media: Any
    """The engine's own, which goes back to it in the `TokenRequest`."""


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Work for a TokenEngine. `resume` was already generated and counts as output."""

    id: int
    prompt: list[int]
    max_tokens: int
    """At least 1; `len(prompt) + max_tokens` fits the context."""
    resume: list[int] = []
    sampling: Sampling = Sampling()
    constraint: Constraint | None = None
    adapter: str | None = None
    media: Any = None
    """What `media_prompt` made, where it made `prompt`."""


class Logprob(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How likely a token was, as the model sees it: before any sampler, by natural logarithm."""

    logprob: float
    top: list[tuple[int, float]] = []
    """The most likely tokens, the first first, as many as were asked for."""


class TokenEvent(msgspec.Struct, frozen=True, gc=False):
    """What one step made for one request. After `finish` no more events of it come."""

    id: int
    ids: list[int]
    finish: str | None = None
    """stop (an end-of-text token, not in `ids`), length, abort or error."""
    failure: Failure | None = None
    cached_tokens: int = 0
    logprobs: list[Logprob] = []
    """One for each of `ids`, where the request asked for them."""


class Tokenizer(Protocol):
    """Text to ids and ids to bytes, exactly as the model was trained with."""

    eos_ids: frozenset[int]
    chat_template: str | None
    special_tokens: dict[str, str]
    """bos_token, eos_token, … as the chat template names them."""

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Ids of `text`; `special` tells whether control tokens in it are recognised.

        Adds no beginning-of-text token.
        """
        ...

    def prompt_prefix(self) -> list[int]:
        """Ids that every plain prompt begins with (a beginning-of-text token, or nothing)."""
        ...

    def piece(self, token: int) -> bytes:
        """The bytes a token stands for; empty for a control token. `IndexError` if unknown."""
        ...

    @property
    def vocabulary_size(self) -> int: ...


@runtime_checkable
class Engine(Protocol):
    """One loaded model, in its own process. Constructed with (spec, options)."""

    def __init__(self, spec: ModelSpec, options: Any) -> None: ...

    @classmethod
    def support(cls, spec: ModelSpec) -> Support:
        """Whether this engine can run the model on this host; cheap, imports nothing heavy."""
        ...

    @classmethod
    def options(cls) -> type[EngineOptions]: ...

    @classmethod
    def accelerators(cls) -> frozenset[str] | None:
        """Kinds of accelerator (cuda, rocm, metal) that it can compute on as it is installed here;
        None when it is not installed. Cheap, wakes no driver."""
        ...

    @classmethod
    def estimate(cls, spec: ModelSpec, options: Any) -> Memory:
        """What one replica will take, before anything is spent. Blocks: it may read a header.

        Raises:
            InvalidRequest: the options cannot be, or the model cannot be read.
        """
        ...

    def load(self, progress: Callable[[Progress], None]) -> Loaded:
        """Load the model; blocks, on a thread of its own.

        Raises:
            XinferError: with the reason, as a user should read it.
        """
        ...

    def close(self) -> None:
        """Release everything; after it no event is produced."""
        ...

    def stats(self) -> EngineStats: ...


@runtime_checkable
class TokenEngine(Engine, Protocol):
    """Every LLM engine. `submit`, `abort` and `steps` are called on the event loop."""

    tokenizer: Tokenizer
    """There once the model is loaded."""

    def submit(self, request: TokenRequest) -> None:
        """Take a request; its events come through `steps`. Never more than `concurrency`."""
        ...

    def abort(self, request_id: int) -> None:
        """End a request; its last event has finish="abort". No-op when it has ended."""
        ...

    def steps(self) -> AsyncIterator[list[TokenEvent]]:
        """Events of all requests together, one list a step; runs until `close`."""
        ...


@runtime_checkable
class MediaEngine(TokenEngine, Protocol):
    """An LLM engine that takes pictures; once loaded it says so by `Abilities.media`."""

    def media_prompt(self, texts: Sequence[str], media: Sequence[Media]) -> MediaPrompt:
        """The prompt in which one medium stands between each two of `texts`.

        Blocks while it decodes; may be called from any thread. Formats and sizes have been checked.

        Raises:
            InvalidRequest: a medium cannot be decoded, or has more tokens than the engine can
                compute; names it.
            Unavailable: the engine has been closed.
        """
        ...


@runtime_checkable
class SigningMediaEngine(MediaEngine, Protocol):
    """A `MediaEngine` whose model has a sign for a picture, which its chat template writes."""

    media_sign: str


@runtime_checkable
class ConstrainingEngine(TokenEngine, Protocol):
    """An LLM engine that enforces constraints; once loaded it says so by `Abilities.constraint`."""

    def check_constraint(self, constraint: Constraint) -> None:
        """Get ready for a request with this constraint, of a kind that the engine declares.

        Blocks while it compiles; may be called from any thread.

        Raises:
            InvalidRequest: it is malformed, beyond the bounds, or asks for what cannot be enforced.
        """
        ...


def engine_names() -> list[str]:
    """Names of all engines that are registered here, built in or by entry point."""
    return sorted({*BUILTIN, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def find_engine(name: str) -> tuple[str, type[Engine]]:
    """The registered name and the class, by a name in any case.

    Raises:
        InvalidRequest: no engine has this name; the message lists those there are.
    """
    wanted = name.lower()
    for known, target in BUILTIN.items():
        if known.lower() == wanted:
            module, _, attribute = target.partition(":")
            return known, cast("type[Engine]", getattr(importlib.import_module(module), attribute))
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name.lower() == wanted:
            return point.name, cast("type[Engine]", point.load())
    raise InvalidRequest(
        f"There is no engine {name!r}. Engines here: {', '.join(engine_names())}.",
        param="model_engine",
    )


def parse_options(engine: type[Engine], name: str, options: dict[str, Any]) -> EngineOptions:
    """Validate engine options given by name.

    Raises:
        InvalidRequest: an unknown option (the message lists the known ones) or a bad value.
    """
    kind = engine.options()
    known = kind.__struct_fields__
    unknown = sorted(set(options) - set(known))
    if unknown:
        near = get_close_matches(unknown[0], [*known, *LaunchSpec.__struct_fields__], 1)
        raise InvalidRequest(
            f"Engine {name} has no option {', '.join(map(repr, unknown))}. "
            + (f"Did you mean {near[0]!r}? " if near else "")
            + f"Its options: {', '.join(known) or 'none'}.",
            param=unknown[0],
        )
    for key, value in options.items():
        try:
            msgspec.convert({key: value}, kind, strict=False)
        except msgspec.ValidationError as error:
            reason = str(error).partition(" - at `$")[0]
            raise InvalidRequest(f"Option {key!r} of engine {name}: {reason}.", param=key) from None
    return msgspec.convert(options, kind, strict=False)
