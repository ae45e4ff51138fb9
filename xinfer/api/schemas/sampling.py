"""Fields that every text generation shares."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, PlainValidator, with_config
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from xinfer.api.schemas.base import MAX_INT64, Body, Neutral, always, only
from xinfer.errors import InvalidRequest
from xinfer.types.request import Sampling

MAX_STOPS = 16
MAX_STOP_CHARS = 1024
MAX_TOKEN_ID = 2**31 - 1


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


@with_config(ConfigDict(extra="allow", strict=True))
class StreamOptions(TypedDict, total=False):
    """How a stream reports."""

    include_usage: bool


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
    seed: int | None = Field(None, ge=-(2**63), le=MAX_INT64)
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = Field(
        None, max_length=4096, description="Token id to what is added to its logit."
    )
    ignore_eos: bool = False
    stop: Stops = ()
    stop_token_ids: list[TokenId] | None = Field(None, max_length=256)
    n: int | None = Field(None, ge=1, le=128, description="Only 1 is supported.")
    request_id: str | None = Field(
        None, description="Handle for the abort route; wins over the X-Request-Id header."
    )
    user: str | None = None
    metadata: dict[str, Any] | None = None
    lora_name: str | None = None
    guided_json: Any = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: str | None = None

    unsupported: ClassVar[Mapping[str, Neutral]] = {
        "n": only(1),
        "user": always,
        "metadata": always,
        "lora_name": only(""),
        "guided_json": only(),
        "guided_regex": only(""),
        "guided_choice": only([]),
        "guided_grammar": only(""),
    }

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.get("include_usage"))

    def sampling(self, max_tokens: int | None) -> Sampling:
        """What the engine hears of it.

        Raises:
            InvalidRequest: a key of `logit_bias` is no token id.
        """
        return Sampling(
            max_tokens=max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            repetition_penalty=self.repetition_penalty,
            seed=self.seed,
            logit_bias=self._logit_bias(),
            ignore_eos=self.ignore_eos,
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
