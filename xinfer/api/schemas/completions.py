"""The body of /v1/completions."""

from typing import Annotated, Any

import msgspec
from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError

from xinfer.api.schemas.sampling import MAX_LOGPROBS, MAX_TOKEN_ID, GenerationBody
from xinfer.errors import InvalidRequest
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
    best_of: int | None = Field(
        None,
        ge=1,
        le=128,
        description="Answers that are made to each prompt; the `n` likeliest are told.",
    )
    suffix: str | None = Field(
        None, description="What follows behind the answer, for models that fill in text."
    )
    logprobs: int | None = Field(
        None, ge=0, le=MAX_LOGPROBS, description="Most likely tokens to tell with each token."
    )

    @property
    def made(self) -> int:
        """Answers that are made to each prompt.

        Raises:
            InvalidRequest: `best_of` and `n`, a stream, or an echo, do not go together.
        """
        told = self.n or 1
        made = self.best_of or told
        if made < told:
            raise InvalidRequest(
                f"`best_of` is {made}, and `n` asks for {told} of them. Send `best_of` of at least "
                f"{told}, or leave it out.",
                param="best_of",
            )
        if made > told and self.stream:
            raise InvalidRequest(
                "`best_of` above `n` does not go with `stream`: which answers are best is known "
                "when all are there.",
                param="best_of",
            )
        if made > told and self.echo:
            raise InvalidRequest(
                "`best_of` above `n` does not go with `echo`: the log-probabilities, which say "
                "what is best, are not told of a prompt. Leave one of them out.",
                param="best_of",
            )
        return made

    @property
    def chooses(self) -> bool:
        """Whether more answers are made than told."""
        return self.made > (self.n or 1)

    def requests(self) -> list[CompletionRequest]:
        """One request for each prompt.

        Raises:
            InvalidRequest: a key of `logit_bias` is no token id, or as of `made`.
        """
        logprobs = self.logprobs
        if self.chooses and logprobs is None:
            logprobs = 0  # the likeliest are known by them
        sampling = self.sampling(self.max_tokens, logprobs)
        return [
            CompletionRequest(
                prompt=prompt,
                sampling=sampling,
                stop=self.stop,
                stop_token_ids=tuple(self.stop_token_ids or ()),
                constraint=self.constraint,
                adapter=self.adapter,
                echo=self.echo,
                suffix=self.suffix or "",
            )
            for prompt in self.prompt
        ]
