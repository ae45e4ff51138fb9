"""Answers, as /docs shows them. Nothing is validated by these on its way out."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class ErrorDetail(BaseModel):
    """What OpenAI's clients read."""

    model_config = ConfigDict(extra="allow")
    message: str
    type: str
    param: str | None
    code: str


class ErrorAnswer(BaseModel):
    """The body of every error."""

    error: ErrorDetail
    detail: str


class CachedTokens(BaseModel):
    cached_tokens: int


class ReasoningTokens(BaseModel):
    reasoning_tokens: int


class UsageAnswer(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens
    completion_tokens_details: ReasoningTokens


class Candidate(BaseModel):
    """A token by its text and its bytes, and its log-probability; -9999 stands for none."""

    token: str
    logprob: float
    bytes: list[int]


class ChosenToken(Candidate):
    top_logprobs: list[Candidate]


class ChatLogprobs(BaseModel):
    content: list[ChosenToken]
    refusal: None


class CalledFunction(BaseModel):
    """`arguments` is the text of a JSON object."""

    name: str
    arguments: str


class CalledTool(BaseModel):
    id: str
    type: Literal["function"]
    function: CalledFunction


class ChatMessage(BaseModel):
    """Besides the text, where there are: what the model thought before, and what it calls."""

    role: Literal["assistant"]
    content: str | None
    reasoning_content: str | None = None
    tool_calls: list[CalledTool] | None = None
    function_call: CalledFunction | None = None


class ChatChoice(BaseModel):
    index: int
    message: ChatMessage
    logprobs: ChatLogprobs | None
    finish_reason: str


class ChatAnswer(BaseModel):
    """A chat completion; with `stream`, events of type `chat.completion.chunk`."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: UsageAnswer


class TextLogprobs(BaseModel):
    """Of each token. Its place in `text` counts characters."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class TextChoice(BaseModel):
    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: str


class CompletionAnswer(BaseModel):
    """A text completion; with `stream`, events of the same type."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: UsageAnswer


class AnthropicUsage(BaseModel):
    """`input_tokens` are those that had to be computed."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int


class MessageAnswer(BaseModel):
    """An answer in blocks; with `stream`, Anthropic's events."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[dict[str, Any]]
    stop_reason: str
    stop_sequence: str | None
    usage: AnthropicUsage


class ResponseAnswer(BaseModel):
    """Its `output` has messages, thoughts and calls; with `stream`, OpenAI's events."""

    model_config = ConfigDict(extra="allow")
    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["completed", "incomplete"]
    model: str
    output: list[dict[str, Any]]
    usage: dict[str, Any]


class TokenizeAnswer(BaseModel):
    model_config = ConfigDict(protected_namespaces=())
    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None


class DetokenizeAnswer(BaseModel):
    prompt: str


class CountAnswer(BaseModel):
    input_tokens: int


class InputUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class EmbeddingItem(BaseModel):
    """With `encoding_format` base64, little-endian float32; with `return_sparse`, weights by the
    ids of tokens."""

    index: int
    object: Literal["embedding"]
    embedding: list[float] | str | dict[str, float]


class EmbeddingAnswer(BaseModel):
    """A vector for each text; `truncated` has the indices of texts that were cut short."""

    object: Literal["list"]
    model: str
    data: list[EmbeddingItem]
    usage: InputUsage
    truncated: list[int]


class DocumentAnswer(BaseModel):
    text: str


class RerankItem(BaseModel):
    """`index` is the document's place in the request."""

    index: int
    relevance_score: float
    document: DocumentAnswer | None


class RerankTokens(BaseModel):
    input_tokens: int
    output_tokens: int


class RerankMeta(BaseModel):
    api_version: None
    billed_units: None
    tokens: RerankTokens | None
    warnings: None


class RerankAnswer(BaseModel):
    """The documents, the most relevant first."""

    id: str
    model: str
    results: list[RerankItem]
    meta: RerankMeta
    usage: InputUsage
    truncated: list[int]


class ScoreItem(BaseModel):
    index: int
    object: Literal["score"]
    score: float


class ScoreAnswer(BaseModel):
    """A score for each pair."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[ScoreItem]
    usage: InputUsage
    truncated: list[int]


class ClassifyItem(BaseModel):
    index: int
    label: str
    probs: list[float]
    num_classes: int


class ClassifyAnswer(BaseModel):
    """The most likely class of each text."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[ClassifyItem]
    usage: InputUsage
    truncated: list[int]


class DrawnImage(BaseModel):
    """Where a picture is, or the picture itself, as `response_format` says."""

    url: str | None
    b64_json: str | None
    seed: int


class ImageAnswer(BaseModel):
    """PNG files, in the order of the prompts."""

    created: int
    data: list[DrawnImage]


class DurationUsage(BaseModel):
    type: Literal["duration"]
    seconds: int


class TranscriptAnswer(BaseModel):
    """With `response_format` verbose_json: task, language, duration, segments and words too; with
    `stream`, OpenAI's events."""

    model_config = ConfigDict(extra="allow")
    text: str
    usage: DurationUsage


class LaunchAnswer(BaseModel):
    """`model_engine` is the one asked for, or else the one that was chosen, and why."""

    model_config = ConfigDict(protected_namespaces=())
    model_uid: str
    model_engine: str
    engine_reason: str


class EngineOption(BaseModel):
    """`default` null: the engine decides. A `json` option has parts: an object or a list."""

    name: str
    type: Literal["boolean", "integer", "number", "string", "choice", "json"]
    default: Any
    description: str
    choices: list[Any]
    minimum: float | None
    maximum: float | None


class EngineAnswer(BaseModel):
    """What a launch may set beside its own fields."""

    options: list[EngineOption]


class ExpectedMemory(BaseModel):
    """Bytes of one replica. `overhead` is for buffers where it runs on processors,
    `accelerator_overhead` for those on each accelerator."""

    weights: int
    kv_cache: int
    overhead: int
    accelerator_overhead: int


class PreviewAnswer(BaseModel):
    """`cached`: nothing would be downloaded. `lack`: why there is no room for it now."""

    model_config = ConfigDict(protected_namespaces=())
    model_name: str
    model_type: str
    model_engine: str
    engine_reason: str
    model_format: str
    model_size_in_billions: float | None
    quantization: str
    context_length: int
    size_bytes: int
    cached: bool
    memory: ExpectedMemory
    lack: str | None


class AbortAnswer(BaseModel):
    msg: Literal["DONE", "NOT_FOUND"]


class ModelEvent(BaseModel):
    """Something that happened to a model; `event_ts` in Unix seconds."""

    event_type: Literal["INFO", "WARNING", "ERROR"]
    event_ts: int
    event_content: str


class ClusterEvent(ModelEvent):
    """Something that happened to a model or to a worker."""

    model_config = ConfigDict(protected_namespaces=())
    model_uid: str | None
    worker_address: str | None


Answers = dict[int | str, dict[str, Any]]

ERROR_ANSWERS: Answers = {
    "4XX": {"model": ErrorAnswer, "description": "The request cannot be served as it is."},
    "5XX": {"model": ErrorAnswer, "description": "The server cannot serve it now."},
}
_EVENTS = {"text/event-stream": {"schema": {"type": "string"}}}
CHAT_ANSWER: Answers = {200: {"model": ChatAnswer, "content": _EVENTS}}
COMPLETION_ANSWER: Answers = {200: {"model": CompletionAnswer, "content": _EVENTS}}
MESSAGE_ANSWER: Answers = {200: {"model": MessageAnswer, "content": _EVENTS}}
RESPONSE_ANSWER: Answers = {200: {"model": ResponseAnswer, "content": _EVENTS}}
TOKENIZE_ANSWER: Answers = {200: {"model": TokenizeAnswer}}
DETOKENIZE_ANSWER: Answers = {200: {"model": DetokenizeAnswer}}
COUNT_ANSWER: Answers = {200: {"model": CountAnswer}}
EMBEDDING_ANSWER: Answers = {200: {"model": EmbeddingAnswer}}
RERANK_ANSWER: Answers = {200: {"model": RerankAnswer}}
SCORE_ANSWER: Answers = {200: {"model": ScoreAnswer}}
IMAGE_ANSWER: Answers = {200: {"model": ImageAnswer}}
IMAGE_STREAM_ANSWER: Answers = {200: {"model": ImageAnswer, "content": _EVENTS}}
CLASSIFY_ANSWER: Answers = {200: {"model": ClassifyAnswer}}
TRANSCRIPT_ANSWER: Answers = {
    200: {
        "model": TranscriptAnswer,
        "content": {
            **_EVENTS,
            "text/plain": {"schema": {"type": "string"}},
        },
    }
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
SOUND_ANSWER: Answers = {
    200: {
        "description": "A file of sound; with `stream_format` sse, OpenAI's events.",
        "content": {**_EVENTS, "audio/mpeg": _BINARY, "audio/wav": _BINARY, "audio/pcm": _BINARY},
    }
}
