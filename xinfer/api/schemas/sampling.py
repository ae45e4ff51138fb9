"""Fields that every text generation shares."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, ConfigDict, Field, PlainValidator, with_config
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from xinfer.api.schemas.base import MAX_INT64, Body, Neutral, always
from xinfer.api.schemas.constraint import FIELDS, constraint_of
from xinfer.errors import InvalidRequest
from xinfer.types.request import Constraint, Sampling

MAX_STOPS = 16
MAX_STOP_CHARS = 1024
MAX_TOKEN_ID = 2**31 - 1
MAX_LOGPROBS = 20
MAX_GRAMMAR_CHARS = 64 << 10
MAX_BREAKERS = 16
MAX_BREAKER_BYTES = 40
"""llama.cpp cuts longer ones short."""


def _stops(value: Any) -> tuple[str, ...]:
    """One string or several; an empty one alone is what some forms send for none."""
    if value is None or value == "":
        return ()
    values = [value] if isinstance(value, str) else value
    if (
        not isinstance(values, list)
        or len(values) > MAX_STOPS
        or not all(isinstance(one, str) and 1 <= len(one) <= MAX_STOP_CHARS for one in values)
    ):
        raise PydanticCustomError(
            "stop",
            "should be a string, or a list of at most {count} strings, of 1 to {chars} characters",
            {"count": MAX_STOPS, "chars": MAX_STOP_CHARS},
        )
    return tuple(values)


Stops = Annotated[
    tuple[str, ...], PlainValidator(_stops, json_schema_input_type=str | list[str] | None)
]
TokenId = Annotated[int, Field(ge=0, le=MAX_TOKEN_ID)]


def _breaker(value: str) -> str:
    if len(value.encode()) > MAX_BREAKER_BYTES:
        raise PydanticCustomError(
            "breaker", "should have at most {most} bytes of UTF-8", {"most": MAX_BREAKER_BYTES}
        )
    return value


Breaker = Annotated[str, Field(min_length=1), AfterValidator(_breaker)]


@with_config(ConfigDict(extra="allow", strict=True))
class StreamOptions(TypedDict, total=False):
    """How a stream reports."""

    include_usage: bool
    tool_call_deltas: bool


class GenerationBody(Body):
    """Model, sampling and streaming. What is left out takes the model's own default."""

    model: str = Field(min_length=1, max_length=200, description="Uid of a running model.")
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1, le=MAX_INT64)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1, le=MAX_TOKEN_ID)
    min_p: float | None = Field(None, ge=0, le=1)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    repetition_penalty: float | None = Field(None, gt=0, le=10)
    repeat_penalty: float | None = Field(
        None, gt=0, le=10, description="llama.cpp's name of `repetition_penalty`, which wins."
    )
    repeat_last_n: int | None = Field(
        None,
        ge=-1,
        le=MAX_TOKEN_ID,
        description="Tokens that the penalties look back at; -1 for the whole context.",
    )
    typical_p: float | None = Field(None, gt=0, le=1)
    top_n_sigma: float | None = Field(None, ge=-1, le=100, description="0 or less: off.")
    xtc_probability: float | None = Field(None, ge=0, le=1)
    xtc_threshold: float | None = Field(None, ge=0, le=1)
    mirostat: int | None = Field(None, ge=0, le=2, description="Its version; 0: off.")
    mirostat_tau: float | None = Field(None, ge=0, le=100)
    mirostat_eta: float | None = Field(None, ge=0, le=1)
    dry_multiplier: float | None = Field(None, ge=0, le=100, description="0: off.")
    dry_base: float | None = Field(None, ge=1, le=100)
    dry_allowed_length: int | None = Field(None, ge=0, le=MAX_TOKEN_ID)
    dry_penalty_last_n: int | None = Field(None, ge=-1, le=MAX_TOKEN_ID)
    dry_sequence_breakers: list[Breaker] | None = Field(None, max_length=MAX_BREAKERS)
    seed: int | None = Field(None, ge=-(2**63), le=MAX_INT64)
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = Field(
        None, max_length=4096, description="Token id to what is added to its logit."
    )
    ignore_eos: bool = False
    stop: Stops = ()
    stop_token_ids: list[TokenId] | None = Field(None, max_length=256)
    n: int | None = Field(None, ge=1, le=128, description="Answers to each prompt.")
    request_id: str | None = Field(
        None, description="Handle for the abort route; wins over the X-Request-Id header."
    )
    user: str | None = None
    metadata: dict[str, Any] | None = None
    lora_name: str | None = Field(
        None, max_length=200, description="An adapter that the model was launched with."
    )
    response_format: dict[str, Any] | None = Field(
        None, description="What the answer has to be: `text`, `json_object` or `json_schema`."
    )
    guided_json: dict[str, Any] | str | None = Field(
        None, description="A JSON schema that the answer has to be valid by, or its text."
    )
    guided_json_object: bool | None = Field(None, description="Whether it has to be an object.")
    guided_regex: str | None = Field(
        None, description="A regular expression that the whole answer has to match."
    )
    guided_choice: list[str] | None = Field(
        None, description="Texts, one of which the answer has to be."
    )
    guided_grammar: str | None = Field(
        None,
        max_length=MAX_GRAMMAR_CHARS,
        description="What the answer has to be: a GBNF grammar whose root rule is `root`.",
    )

    unsupported: ClassVar[Mapping[str, Neutral]] = {
        "user": always,
        "metadata": always,
    }

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.get("include_usage"))

    @property
    def constraint(self) -> Constraint | None:
        """
        Raises:
            InvalidRequest: a field of `FIELDS` is malformed, or several ask for something.
        """
        return constraint_of({name: getattr(self, name) for name in FIELDS})

    @property
    def adapter(self) -> str | None:
        return self.lora_name or None

    def sampling(self, max_tokens: int | None, logprobs: int | None) -> Sampling:
        """What the engine hears of it.

        Args:
            logprobs: alternatives to tell with each token's log-probability; None: neither.

        Raises:
            InvalidRequest: a key of `logit_bias` is no token id.
        """
        breakers = self.dry_sequence_breakers
        penalty = self.repetition_penalty
        return Sampling(
            max_tokens=max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            repetition_penalty=self.repeat_penalty if penalty is None else penalty,
            seed=self.seed,
            logit_bias=self._logit_bias(),
            ignore_eos=self.ignore_eos,
            typical_p=self.typical_p,
            top_n_sigma=self.top_n_sigma,
            xtc_probability=self.xtc_probability,
            xtc_threshold=self.xtc_threshold,
            mirostat=self.mirostat,
            mirostat_tau=self.mirostat_tau,
            mirostat_eta=self.mirostat_eta,
            dry_multiplier=self.dry_multiplier,
            dry_base=self.dry_base,
            dry_allowed_length=self.dry_allowed_length,
            dry_penalty_last_n=self.dry_penalty_last_n,
            dry_sequence_breakers=None if breakers is None else tuple(breakers),
            repeat_last_n=self.repeat_last_n,
            logprobs=logprobs,
        )

    def _logit_bias(self) -> dict[int, float] | None:
        if not self.logit_bias:
            return None
        bias: dict[int, float] = {}
        for key, value in self.logit_bias.items():
            if not (key.isascii() and key.isdigit() and int(key[:20]) <= MAX_TOKEN_ID):
                raise InvalidRequest(
                    f"`logit_bias`: {key[:40]!r} is not a token id.", param="logit_bias"
                )
            bias[int(key)] = value
        return bias
