"""The body of /v1/chat/completions."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, FailFast, Field
from typing_extensions import TypedDict

from xinfer.api.schemas.base import MAX_INT64, Neutral, always, json_object, only
from xinfer.api.schemas.messages import Message, normalize
from xinfer.api.schemas.sampling import MAX_LOGPROBS, GenerationBody
from xinfer.errors import InvalidRequest
from xinfer.types.request import ChatRequest


class Thinking(TypedDict, total=False):
    """Anthropic's form of the switch."""

    type: Literal["enabled", "disabled"]


def _template_kwargs(value: Any) -> dict[str, Any]:
    return json_object(value, "chat_template_kwargs")


class ChatBody(GenerationBody):
    """A conversation to continue."""

    messages: Annotated[list[Message], FailFast()] = Field(min_length=1)
    max_completion_tokens: int | None = Field(
        None, ge=1, le=MAX_INT64, description="OpenAI's newer name of `max_tokens`; it wins."
    )
    chat_template_kwargs: Annotated[dict[str, Any], BeforeValidator(_template_kwargs)] = Field(
        default_factory=dict,
        description="Variables of the model's chat template: an object or its JSON.",
    )
    enable_thinking: bool | None = None
    thinking: bool | Thinking | None = None
    reasoning_effort: str | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(
        None, ge=0, le=MAX_LOGPROBS, description="Most likely tokens to tell with `logprobs`."
    )
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None
    store: bool | None = None
    echo: bool | None = None

    unsupported: ClassVar[Mapping[str, Neutral]] = {
        **GenerationBody.unsupported,
        "tools": only([]),
        "tool_choice": only("none", "auto"),
        "parallel_tool_calls": always,
        "functions": only([]),
        "function_call": only("none", "auto"),
        "response_format": only({"type": "text"}),
        "modalities": only(["text"], []),
        "audio": only(),
        "prediction": only(),
        "web_search_options": only(),
        "store": only(False),
        "echo": only(False),
    }

    def request(self) -> ChatRequest:
        """The request the model's replica gets.

        Raises:
            InvalidRequest: a key of `logit_bias` is no token id, or `top_logprobs` comes without
                `logprobs`.
        """
        return ChatRequest(
            messages=normalize(self.messages),
            template_kwargs=self._kwargs(),
            sampling=self.sampling(
                self.max_completion_tokens or self.max_tokens, self._alternatives()
            ),
            stop=self.stop,
            stop_token_ids=tuple(self.stop_token_ids or ()),
            constraint=self.constraint,
            adapter=self.adapter,
        )

    def _alternatives(self) -> int | None:
        if self.logprobs:
            return self.top_logprobs or 0
        if self.top_logprobs:
            raise InvalidRequest(
                "`top_logprobs` needs `logprobs`. Send `logprobs: true` with it, or leave it out.",
                param="top_logprobs",
            )
        return None

    def _kwargs(self) -> dict[str, Any]:
        """The template's variables; the more explicit way of asking to think wins."""
        kwargs: dict[str, Any] = {}
        thinking = self.thinking
        if isinstance(thinking, dict):
            thinking = thinking.get("type") == "enabled"
        wanted = thinking if self.enable_thinking is None else self.enable_thinking
        if wanted is not None:
            kwargs["enable_thinking"] = kwargs["thinking"] = wanted
        if self.reasoning_effort is not None:
            kwargs["reasoning_effort"] = self.reasoning_effort
        return {**kwargs, **self.chat_template_kwargs}
