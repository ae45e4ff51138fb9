"""The bodies of /tokenize and /detokenize, in vLLM's words."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import FailFast, Field
from typing_extensions import TypeAliasType

from xinfer.api.schemas.base import Body, Neutral, only
from xinfer.api.schemas.chat import ChatBody
from xinfer.api.schemas.messages import Message
from xinfer.api.schemas.sampling import TokenId
from xinfer.errors import InvalidRequest
from xinfer.types.request import ChatRequest, CompletionRequest

Messages = TypeAliasType("Messages", Annotated[list[Message], FailFast(), Field(min_length=1)])

MAX_IDS = 1 << 16
"""Tokens of one request that are made text: the model's process does it between its steps."""


class TokenizeBody(Body):
    """A text, or a conversation as the model would see it."""

    model: str = Field(min_length=1, max_length=200, description="Uid or alias of a running model.")
    prompt: str | None = None
    messages: Messages | None = None
    tools: list[dict[str, Any]] | None = Field(None, description="Of the conversation.")
    chat_template_kwargs: dict[str, Any] | None = None
    add_special_tokens: bool | None = Field(
        None,
        description="False leaves out what a text begins with, such as a beginning-of-text token. "
        "A conversation has what its template puts there, and no more.",
    )
    add_generation_prompt: bool | None = Field(None, description="Only true is supported.")
    continue_final_message: bool | None = Field(None, description="Only false is supported.")
    chat_template: str | None = Field(None, description="Not supported.")
    return_token_strs: bool | None = Field(None, description="Also tell what each token is called.")

    unsupported: ClassVar[Mapping[str, Neutral]] = {
        "add_generation_prompt": only(True),
        "continue_final_message": only(False),
        "chat_template": only(),
    }

    @property
    def bare(self) -> bool:
        """Whether a text is to be tokenized by itself."""
        return self.add_special_tokens is False

    def request(self) -> ChatRequest | CompletionRequest:
        """What the model's replica is asked about.

        Raises:
            InvalidRequest: there is not one of the two, or a conversation is to have special tokens
                twice.
        """
        if (self.prompt is None) == (self.messages is None):
            raise InvalidRequest(
                "Send either `prompt` or `messages`, one of them.",
                param="prompt" if self.messages is None else "messages",
            )
        if self.prompt is not None:
            return CompletionRequest(prompt=self.prompt)
        assert self.messages is not None
        if self.add_special_tokens:
            raise InvalidRequest(
                "`add_special_tokens`: a conversation has its special tokens from the model's "
                "template. Leave it out.",
                code="unsupported_parameter",
                param="add_special_tokens",
            )
        fields: dict[str, Any] = {"model": self.model, "messages": self.messages}
        if self.tools:
            fields["tools"] = self.tools
        if self.chat_template_kwargs:
            fields["chat_template_kwargs"] = self.chat_template_kwargs
        chat = ChatBody.model_construct(**fields)
        chat.check_supported()
        return chat.request()


class DetokenizeBody(Body):
    """Tokens to be made text."""

    model: str = Field(min_length=1, max_length=200, description="Uid or alias of a running model.")
    tokens: Annotated[list[TokenId], FailFast()] = Field(max_length=MAX_IDS)
