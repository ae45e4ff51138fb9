"""What a model is, and what an engine says of the one it has loaded."""

from __future__ import annotations

from typing import Any

import msgspec

from xinfer.types.shape import ModelShape


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A repository on a hub that a model's files can be had from."""

    hub: str
    """huggingface or modelscope."""
    repo: str
    """`owner/name`."""
    revision: str | None = None
    """Branch, tag or commit; None for the hub's default."""
    files: tuple[str, ...] = ()
    """Exactly these files, the one that is loaded first; empty for all that the format needs."""


class EncodeSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the files of an embedding or rerank model say of its results."""

    smaller_dimensions: tuple[int, ...] = ()
    """Lengths that its vectors may be cut to (Matryoshka)."""
    pooling: str = ""
    """How a vector is made of those of the tokens: mean, cls, last, max, weightedmean, …"""
    normalised: bool = False
    """Whether the model's own steps end in vectors of the length 1."""
    prompts: dict[str, str] = {}
    """What is put before a text, by what it is for: query, document, …"""
    default_prompt: str = ""
    """Name of the prompt that is used where none is asked for."""
    labels: tuple[str, ...] = ()
    """What a rerank model's or classifier's scores are for; empty when unknown."""
    generative: bool = False
    """A rerank model that answers yes or no as a language model does, and has no head."""


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One concrete, resolved model: enough for an engine to load it and for clients to list it."""

    name: str
    type: str = "LLM"
    """LLM, embedding, rerank, image or audio."""
    family: str = ""
    format: str = ""
    """pytorch, ggufv2, …; empty for an engine that reads no files."""
    path: str = ""
    """Directory or file on the worker; empty for an engine that reads no files, and for a model
    whose files are still to be had from one of its sources."""
    sources: tuple[Source, ...] = ()
    """Where its files can be had from, the first that answers; empty for those that are here."""
    size_in_billions: float | None = None
    quantization: str = "none"
    context_length: int = 0
    """Tokens, of a text for an embedding or rerank model; 0 when unknown."""
    dimensions: int = 0
    """Length of the vectors of an embedding model; 0 when unknown."""
    abilities: tuple[str, ...] = ()
    """generate, chat, tools, vision, reasoning, …: the incumbent's words."""
    languages: tuple[str, ...] = ("en",)
    description: str = ""
    hub: str = "builtin"
    """builtin, local, huggingface or modelscope."""
    model_id: str = ""
    revision: str | None = None
    chat_template: str = ""
    """The chat template that a user gave, in place of that of the files."""
    fallback_template: str = ""
    """The chat template where the files have none."""
    template_kwargs: dict[str, Any] = {}
    """Variables of the chat template, where a request does not set them."""
    tool_call_parser: str = ""
    """How it writes calls of functions; empty: what its chat template says."""
    reasoning_tags: tuple[str, ...] = ()
    """The two texts that its thoughts stand between; empty: what its chat template says."""
    reasoning_content: bool = True
    """Whether thoughts are told apart from the text of an answer."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer in a chat, besides those of the request."""
    stop_token_ids: tuple[int, ...] = ()
    size_bytes: int = 0
    """Bytes of weights on disk; 0 when unknown."""
    files: tuple[str, ...] = ()
    """What is needed of its directory or repository, the file that is loaded first; names have
    `/` between their parts. Empty when unknown."""
    projector: str = ""
    """The one of `files` that turns pictures or sound into embeddings, where that is apart."""
    architecture: str = ""
    """As the files say it: Qwen2ForCausalLM, llama, StableDiffusionXLPipeline, …"""
    shape: ModelShape | None = None
    """What its memory follows from; None when unknown."""
    encode: EncodeSpec | None = None
    """Of an embedding or rerank model; None when unknown."""
    remote_code: tuple[str, ...] = ()
    """Files of program code, or `repository--file`, without which it does not run."""


class LoraAdapter(msgspec.Struct, frozen=True):
    """A LoRA adapter that is loaded beside a model."""

    path: str
    scale: float = 1.0
    """How strongly it is applied, on top of what it says itself."""


class EncodeAbilities(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an encode engine makes of a text or a pair, and of how many at once."""

    batch_tokens: int
    """Tokens that it computes at once; more than these take several turns."""
    batch_items: int
    """Texts or pairs that it computes at once."""
    pooling: str = ""
    """How one result is made of a text's tokens: mean, cls, last or rank."""
    dimensions: int = 0
    """Length of a vector; 0 for an engine that makes scores."""
    normalised: bool = False
    """Whether vectors have the length 1."""
    scores: int = 0
    """Scores of a pair, the one of relevance first; 0 for an engine that makes vectors."""
    labels: tuple[str, ...] = ()
    """What the scores are for, where the model names it."""
    probabilities: bool = False
    """Whether scores are probabilities; they are the bare output of the model's head otherwise."""
    padded: bool = False
    """Whether what is computed at once is as long as its longest, and costs as much."""
    matryoshka: bool = False
    """Whether the beginning of a vector, normalised, is a vector too: the model was trained so."""
    sparse: bool = False
    """Whether it tells how much each token of a text says, too."""
    prompts: dict[str, str] = {}
    """What is put before a text, by the name of the task it is for."""
    truncate: bool = True
    """Whether texts over the limit are cut short where a request does not say."""


class Memory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Bytes that one replica of a model is expected to take."""

    weights: int = 0
    kv_cache: int = 0
    overhead: int = 0
    """Buffers of the computation, where it runs on processors."""
    accelerator_overhead: int = 0
    """The same on each accelerator that it runs on, with what its driver takes."""
    divides: bool = False
    """It may be divided over several accelerators of one node."""
    spills: bool = False
    """What does not fit onto accelerators may stay in main memory."""
    processors_only: bool = False
    """By its options, it computes on processors whatever else there is."""


class Abilities(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a loaded engine declares; what it does not declare is refused, not attempted."""

    cancel: str = "step"
    """How soon an abort takes effect: step, token or end."""
    resume: bool = False
    """Continues from given output ids as if it had made them itself."""
    logprobs: bool = False
    constraint: frozenset[str] = frozenset()
    """Kinds of `Constraint` it enforces."""
    adapters: frozenset[str] = frozenset()
    """Names of the LoRA adapters that it has loaded."""
    media: bool = False
    """Takes pictures in a conversation."""
    audio: bool = False
    """Takes recordings in a conversation."""
    sampling: frozenset[str] = frozenset()
    """Names of the `Sampling` fields it honours beyond max_tokens."""
    encode: EncodeAbilities | None = None
    """What an encode engine does; None for every other one."""
    tasks: frozenset[str] = frozenset()
    """What an engine does that works on requests in steps: text2image, image2image, inpainting;
    audio2text, text2audio, …"""


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """An engine's description of itself after `load`."""

    context_length: int
    """Tokens of prompt and output together that one request may take."""
    concurrency: int
    """Requests the engine takes at once; the replica admits no more than this."""
    abilities: Abilities
    backend: str = "cpu"
    """Where it runs, as a person would say it: cpu, cuda:0, metal, …"""
    details: dict[str, Any] = {}
    """Additional facts for `/v1/models/{uid}`: layers offloaded, kernels chosen, …"""


class FileProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the download of one file has come; bytes and seconds."""

    name: str
    downloaded_bytes: int
    total_bytes: int
    speed_bytes_per_second: float = 0.0
    """Over the last seconds."""
    elapsed_seconds: float = 0.0
    eta_seconds: float | None = None
    """None where nothing comes in just now, and for a file that waits."""
    status: str = "pending"
    """pending, downloading, verifying or completed."""


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """How far a load has come; `fraction` in 0..1 never goes back."""

    fraction: float
    stage: str
    """launching, downloading or loading."""
    message: str = ""
    files: tuple[FileProgress, ...] = ()
    """What is being downloaded, while it is."""


class EngineStats(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Figures for metrics; counters since load."""

    running: int = 0
    waiting: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
