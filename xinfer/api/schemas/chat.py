"""The body of /v1/chat/completions."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, FailFast, Field
from typing_extensions import TypedDict

from xinfer.api.schemas.base import MAX_INT64, Neutral, json_object, only
from xinfer.api.schemas.messages import Message, normalize
from xinfer.api.schemas.sampling import MAX_LOGPROBS, GenerationBody
from xinfer.api.schemas.tools import (
    MAX_TOOLS,
    FunctionChoice,
    Functions,
    ToolChoice,
    Tools,
    choose,
)
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
    reasoning_effort: str | None = Field(
        None, description="As the model's template has it; else none and minimal: do not think."
    )
    tools: Tools | None = Field(
        None, max_length=MAX_TOOLS, description="Functions that the model may call."
    )
    tool_choice: ToolChoice | None = Field(
        None, description="auto, none, required, or the function that is to be called."
    )
    parallel_tool_calls: bool | None = Field(
        None, description="False: the answer ends with its first call."
    )
    functions: Functions | None = Field(
        None, max_length=MAX_TOOLS, description="The older form of `tools`."
    )
    function_call: FunctionChoice | None = Field(
        None, description="The older form of `tool_choice`."
    )
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
            InvalidRequest: a key of `logit_bias` is no token id, `top_logprobs` comes without
                `logprobs`, the function that is to be called is not among `tools`, or what the
                answer has to be is malformed.
        """
        chosen = choose(self.tools, self.tool_choice, self.functions, self.function_call)
        return ChatRequest(
            messages=normalize(self.messages),
            template_kwargs=self._kwargs(),
            reasoning_effort=self.reasoning_effort,
            tools=chosen.tools,
            tool_choice=chosen.choice,
            tool_name=chosen.name,
            parallel_tool_calls=self.parallel_tool_calls is not False and not self.legacy_calls,
            sampling=self.sampling(
                self.max_completion_tokens or self.max_tokens, self._alternatives()
            ),
            stop=self.stop,
            stop_token_ids=tuple(self.stop_token_ids or ()),
            constraint=self.constraint,
            adapter=self.adapter,
        )

    @property
    def legacy_calls(self) -> bool:
        """Whether a call is to be told in the older form, which has room for one."""
        return not self.tools and bool(self.functions)

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
        return {**kwargs, **self.chat_template_kwargs}
