"""The body of /v1/completions."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError

from xinfer.api.schemas.base import Neutral, only
from xinfer.api.schemas.sampling import MAX_LOGPROBS, MAX_TOKEN_ID, GenerationBody
from xinfer.types.request import CompletionRequest

MAX_PROMPTS = 128

_TokenIds = list[Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKEN_ID)]]

Prompt = str | list[int]


def _prompts(value: Any) -> list[Prompt]:
    """One prompt or several, each text or token ids, as a list."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value:
        first = value[0]
        several = isinstance(first, (str, list))
        kind: Any = list[str] if isinstance(first, str) else list[_TokenIds]
        if several and len(value) > MAX_PROMPTS:
            raise PydanticCustomError(
                "prompt", "should hold at most {most} prompts", {"most": MAX_PROMPTS}
            )
        try:
            return list(msgspec.convert(value if several else [value], kind))
        except msgspec.ValidationError:
            pass
    raise PydanticCustomError(
        "prompt",
        "should be a text, a list of token ids, or a list of either that is not empty",
    )


Prompts = Annotated[
    list[Prompt],
    PlainValidator(_prompts, json_schema_input_type=str | list[str] | list[int] | list[list[int]]),
]


class CompletionBody(GenerationBody):
    """Text to continue. Models with a chat template take it too, as plain text."""

    prompt: Prompts
    echo: bool = False
    best_of: int | None = Field(None, ge=1)
    suffix: str | None = None
    logprobs: int | None = Field(
        None, ge=0, le=MAX_LOGPROBS, description="Most likely tokens to tell with each token."
    )

    unsupported: ClassVar[Mapping[str, Neutral]] = {
        **GenerationBody.unsupported,
        "best_of": only(1),
        "suffix": only(""),
    }

    def requests(self) -> list[CompletionRequest]:
        """One request for each prompt.

        Raises:
            InvalidRequest: a key of `logit_bias` is no token id.
        """
        sampling = self.sampling(self.max_tokens, self.logprobs)
        return [
            CompletionRequest(
                prompt=prompt,
                sampling=sampling,
                stop=self.stop,
                stop_token_ids=tuple(self.stop_token_ids or ()),
                constraint=self.constraint,
                adapter=self.adapter,
                echo=self.echo,
            )
            for prompt in self.prompt
        ]
