"""The bodies of /v1/messages and /v1/messages/count_tokens: Anthropic's words for a chat."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, FailFast, Field, with_config
from typing_extensions import NotRequired, TypeAliasType, TypedDict

from xinfer.api.schemas.base import MAX_INT64, Body, Neutral, always, only
from xinfer.api.schemas.chat import ChatBody
from xinfer.api.schemas.sampling import MAX_TOKEN_ID, Stops, StreamOptions
from xinfer.errors import InvalidRequest

_open = with_config(ConfigDict(extra="allow", strict=True))


@_open
class TextBlock(TypedDict):
    """A piece of text."""

    type: Literal["text"]
    text: str


@_open
class Base64Source(TypedDict):
    """The bytes themselves."""

    type: Literal["base64"]
    media_type: str
    data: str


@_open
class UrlSource(TypedDict):
    """Where they are to be fetched from."""

    type: Literal["url"]
    url: str


@_open
class ImageBlock(TypedDict):
    """A picture; taken by models that have the ability `vision`."""

    type: Literal["image"]
    source: Annotated[Base64Source | UrlSource, Field(discriminator="type")]


@_open
class ToolUseBlock(TypedDict):
    """A call that the model made in an earlier turn."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


Shown = TypeAliasType(
    "Shown",
    Annotated[
        list[Annotated[TextBlock | ImageBlock, Field(discriminator="type")]],
        FailFast(),
    ],
)


@_open
class ToolResultBlock(TypedDict):
    """What a tool gave."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: NotRequired[str | Shown | None]
    is_error: NotRequired[bool | None]


@_open
class ThinkingBlock(TypedDict):
    """What the model thought in an earlier turn. The signature is not checked."""

    type: Literal["thinking"]
    thinking: str
    signature: NotRequired[str]


@_open
class RedactedThinkingBlock(TypedDict):
    """Thoughts that nobody here can read; they are left out."""

    type: Literal["redacted_thinking"]
    data: str


Block = Annotated[
    TextBlock | ImageBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock | RedactedThinkingBlock,
    Field(discriminator="type"),
]
Blocks = TypeAliasType("Blocks", Annotated[list[Block], FailFast()])


@_open
class AnthropicMessage(TypedDict):
    """A turn. `system` among them is what some clients send; Anthropic has a field for it."""

    role: Literal["user", "assistant", "system"]
    content: str | Blocks


@_open
class AnthropicTool(TypedDict):
    """A function that the model may call; of the tools that run at Anthropic there are none."""

    name: str
    type: NotRequired[str | None]
    description: NotRequired[str | None]
    input_schema: NotRequired[dict[str, Any]]


@_open
class AnthropicToolChoice(TypedDict):
    """Whether a tool is called, and which."""

    type: Literal["auto", "any", "tool", "none"]
    name: NotRequired[str]
    disable_parallel_tool_use: NotRequired[bool | None]


@_open
class ThinkingConfig(TypedDict):
    """`budget_tokens` has no effect: a model thinks as long as it does, within `max_tokens`."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: NotRequired[int | None]


@_open
class OutputFormat(TypedDict):
    """What the answer has to be."""

    type: Literal["json_schema"]
    schema: dict[str, Any]


@_open
class OutputConfig(TypedDict, total=False):
    """How much effort, and in which form."""

    effort: str | None
    format: OutputFormat | None


class ConversationBody(Body):
    """What there is to count, and to answer."""

    model: str = Field(min_length=1, max_length=200, description="Uid or alias of a running model.")
    messages: Annotated[list[AnthropicMessage], FailFast()] = Field(min_length=1)
    system: str | list[TextBlock] | None = None
    tools: list[AnthropicTool] | None = None
    tool_choice: AnthropicToolChoice | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None

    def chat(self) -> ChatBody:
        """The same as a chat in OpenAI's words.

        Raises:
            InvalidRequest: a tool that does not run here.
        """
        return ChatBody.model_construct(**self._fields())

    def ignored_fields(self) -> list[str]:
        ignored = super().ignored_fields()
        if self.thinking and self.thinking.get("budget_tokens") is not None:
            ignored.append("thinking.budget_tokens")
        return ignored

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"model": self.model, "messages": self._messages()}
        fields.update(self._tools())
        # Without the field nobody asked for thoughts, whatever the model does by itself.
        kind = self.thinking["type"] if self.thinking else "disabled"
        if kind != "adaptive":
            fields["enable_thinking"] = kind == "enabled"
        config: Any = self.output_config or {}
        if config.get("effort"):
            fields["reasoning_effort"] = config["effort"]
        if config.get("format"):
            schema = {"name": "output", "schema": config["format"]["schema"], "strict": True}
            fields["response_format"] = {"type": "json_schema", "json_schema": schema}
        return fields

    def _tools(self) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        if self.tools:
            fields["tools"] = [_tool(tool, number) for number, tool in enumerate(self.tools)]
        choice = self.tool_choice
        if choice is not None:
            fields["tool_choice"] = _choice(choice)
            if choice.get("disable_parallel_tool_use"):
                fields["parallel_tool_calls"] = False
        return fields

    def _messages(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        if self.system:
            messages.append({"role": "system", "content": _joined(self.system)})
        names: dict[str, str] = {}
        for message in self.messages:
            content = message["content"]
            if isinstance(content, str):
                messages.append({"role": message["role"], "content": content})
            elif message["role"] == "assistant":
                messages.append(_assistant(content, names))
            else:
                messages += _user(message["role"], content, names)
        return messages


class MessagesBody(ConversationBody):
    """A conversation to answer."""

    max_tokens: int = Field(ge=1, le=MAX_INT64)
    stream: bool = False
    stream_options: StreamOptions | None = Field(
        None, description="An addition to Anthropic's fields: `tool_call_deltas` is of effect."
    )
    stop_sequences: Stops = ()
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1, le=MAX_TOKEN_ID)
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    container: Any = None
    mcp_servers: list[Any] | None = None

    unsupported: ClassVar[Mapping[str, Neutral]] = {
        "metadata": always,
        "service_tier": always,
        "container": only(),
        "mcp_servers": only([]),
    }

    def check_supported(self) -> None:
        super().check_supported()
        if self.messages[-1]["role"] == "assistant":
            raise InvalidRequest(
                "The last of `messages` is the assistant's. Continuing an answer that has begun is "
                "not supported; end with a message of the user.",
                code="unsupported_parameter",
                param="messages",
            )

    def _fields(self) -> dict[str, Any]:
        own = {
            "max_tokens": self.max_tokens,
            "stream": self.stream,
            "stop": self.stop_sequences,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
        }
        return {**super()._fields(), **own}


class CountBody(ConversationBody):
    """A conversation whose tokens are to be counted."""


def _tool(tool: AnthropicTool, number: int) -> dict[str, Any]:
    kind = tool.get("type")
    if kind not in (None, "custom"):
        raise InvalidRequest(
            f"`tools[{number}]` is of type {str(kind)[:60]!r}, which runs at Anthropic and not "
            "here. Describe a tool of your own by `name` and `input_schema`.",
            code="unsupported_parameter",
            param=f"tools[{number}].type",
        )
    function: dict[str, Any] = {"name": tool["name"], "parameters": tool.get("input_schema") or {}}
    if tool.get("description"):
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


def _choice(choice: AnthropicToolChoice) -> str | dict[str, Any]:
    if choice["type"] == "tool":
        if not choice.get("name"):
            raise InvalidRequest(
                "`tool_choice.name`: a choice of type 'tool' names one.", param="tool_choice.name"
            )
        return {"type": "function", "function": {"name": choice["name"]}}
    return {"any": "required"}.get(choice["type"], choice["type"])


def _joined(content: str | list[TextBlock]) -> str:
    return content if isinstance(content, str) else "\n".join(block["text"] for block in content)


def _assistant(blocks: list[Any], names: dict[str, str]) -> dict[str, Any]:
    """An earlier answer; takes note of what its calls are called."""
    text: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for block in blocks:
        kind = block["type"]
        if kind == "text":
            text.append(block["text"])
        elif kind == "thinking":
            thoughts.append(block["thinking"])
        elif kind == "tool_use":
            names[block["id"]] = block["name"]
            arguments = json.dumps(block["input"], ensure_ascii=False)
            function = {"name": block["name"], "arguments": arguments}
            calls.append({"id": block["id"], "type": "function", "function": function})
        elif kind != "redacted_thinking":
            raise _misplaced(kind, "assistant")
    message: dict[str, Any] = {"role": "assistant", "content": "".join(text) if text else None}
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message


def _user(role: str, blocks: list[Any], names: dict[str, str]) -> Iterator[dict[str, Any]]:
    """What the user said and what tools gave, each in a message of its own, in order."""
    said: list[dict[str, Any]] = []
    for block in blocks:
        if block["type"] != "tool_result":
            said.append(_part(block, role))
            continue
        if said:
            yield {"role": role, "content": said}
            said = []
        yield _result(block, names)
    if said:
        yield {"role": role, "content": said}


def _result(block: Any, names: dict[str, str]) -> dict[str, Any]:
    given = block.get("content") or ""
    if isinstance(given, list):
        given = [_part(part, "tool") for part in given]
    message = {"role": "tool", "tool_call_id": block["tool_use_id"], "content": given}
    name = names.get(block["tool_use_id"])
    return {**message, "name": name} if name else message


def _part(block: Any, role: str) -> dict[str, Any]:
    if block["type"] == "text":
        return {"type": "text", "text": block["text"]}
    if block["type"] != "image":
        raise _misplaced(block["type"], role)
    source = block["source"]
    url = (
        source["url"]
        if source["type"] == "url"
        else f"data:{source['media_type']};base64,{source['data']}"
    )
    return {"type": "image_url", "image_url": {"url": url}}


def _misplaced(kind: str, role: str) -> InvalidRequest:
    return InvalidRequest(
        f"`messages`: a block of type {kind!r} cannot stand in a message of {role}.",
        param="messages",
    )
