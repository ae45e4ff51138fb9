"""The body of /v1/responses: OpenAI's newer words for a chat."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Discriminator, FailFast, Field, Tag, with_config
from typing_extensions import NotRequired, TypeAliasType, TypedDict

from xinfer.api.schemas.base import MAX_INT64, Body, Neutral, always, only
from xinfer.api.schemas.chat import ChatBody
from xinfer.api.schemas.sampling import MAX_LOGPROBS, StreamOptions
from xinfer.errors import InvalidRequest

LOGPROBS = "message.output_text.logprobs"
"""What `include` asks for log-probabilities with."""

_open = with_config(ConfigDict(extra="allow", strict=True))


@_open
class InputText(TypedDict):
    """A piece of text; `output_text` is one that the model answered."""

    type: Literal["input_text", "output_text", "text"]
    text: str


@_open
class Refusal(TypedDict):
    """An earlier answer that was a refusal."""

    type: Literal["refusal"]
    refusal: str


@_open
class InputImage(TypedDict):
    """A picture in a data URL; files are not kept here."""

    type: Literal["input_image"]
    image_url: NotRequired[str | None]
    file_id: NotRequired[str | None]
    detail: NotRequired[str | None]


Part = Annotated[InputText | Refusal | InputImage, Field(discriminator="type")]
InputParts = TypeAliasType("InputParts", Annotated[list[Part], FailFast()])
Content = str | InputParts


@_open
class MessageItem(TypedDict):
    """A message of anybody."""

    type: NotRequired[Literal["message"]]
    role: Literal["user", "assistant", "system", "developer"]
    content: Content


@_open
class FunctionCallItem(TypedDict):
    """A call that the model made; `arguments` is the text of a JSON object."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str


@_open
class FunctionOutputItem(TypedDict):
    """What a function gave."""

    type: Literal["function_call_output"]
    call_id: str
    output: Content


@_open
class ReasoningText(TypedDict):
    """Thoughts, or a summary of them."""

    text: str


@_open
class ReasoningItem(TypedDict):
    """What the model thought before an answer. Of encrypted thoughts nothing is known here."""

    type: Literal["reasoning"]
    content: NotRequired[list[ReasoningText] | None]
    summary: NotRequired[list[ReasoningText] | None]


def _kind(item: Any) -> str | None:
    """The type of an item; messages need not have one."""
    if not isinstance(item, dict):
        return None
    kind = item.get("type", "message" if "role" in item else None)
    return kind if isinstance(kind, str) else None


Item = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[FunctionOutputItem, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")],
    Discriminator(
        _kind,
        custom_error_type="item",
        custom_error_message="should be an item of type message, function_call, "
        "function_call_output or reasoning",
    ),
]

Items = TypeAliasType("Items", Annotated[list[Item], FailFast(), Field(min_length=1)])


@_open
class ResponseTool(TypedDict):
    """A function that the model may call; of the tools that run at OpenAI there are none."""

    type: str
    name: NotRequired[str]
    description: NotRequired[str | None]
    parameters: NotRequired[dict[str, Any] | None]
    strict: NotRequired[bool | None]


@_open
class NamedChoice(TypedDict):
    """The function that is to be called."""

    type: Literal["function"]
    name: str


@_open
class TextFormat(TypedDict):
    """What the answer has to be."""

    type: Literal["text", "json_object", "json_schema"]
    name: NotRequired[str]
    schema: NotRequired[dict[str, Any]]
    description: NotRequired[str | None]
    strict: NotRequired[bool | None]


@_open
class TextConfig(TypedDict, total=False):
    """`verbosity` has no effect."""

    format: TextFormat | None
    verbosity: str | None


@_open
class ReasoningConfig(TypedDict, total=False):
    """`summary` has no effect: the thoughts themselves are told."""

    effort: str | None
    summary: str | None


class ResponsesBody(Body):
    """A conversation to answer. Nothing of it is kept, whatever `store` says."""

    model: str = Field(min_length=1, max_length=200, description="Uid or alias of a running model.")
    input: str | Items
    instructions: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_output_tokens: int | None = Field(None, ge=1, le=MAX_INT64)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    tools: list[ResponseTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: ReasoningConfig | None = None
    include: list[str] | None = Field(
        None, description=f"{LOGPROBS} has the log-probabilities told; others have no effect."
    )
    top_logprobs: int | None = Field(None, ge=0, le=MAX_LOGPROBS)
    metadata: dict[str, str] | None = None
    user: str | None = None
    store: bool | None = None
    truncation: str | None = Field(None, description="Only `disabled` is supported.")
    previous_response_id: str | None = Field(
        None, description="Not supported: send the whole conversation as `input`."
    )
    conversation: Any = None
    prompt: Any = None
    background: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    max_tool_calls: int | None = None

    unsupported: ClassVar[Mapping[str, Neutral]] = {
        "metadata": always,
        "user": always,
        "store": always,
        "truncation": only("disabled"),
        "previous_response_id": only(),
        "conversation": only(),
        "prompt": only(),
        "background": only(False),
    }

    def check_supported(self) -> None:
        if self.previous_response_id is not None:
            raise InvalidRequest(
                "`previous_response_id`: this server keeps no responses. Send the whole "
                "conversation as `input`, earlier output items included.",
                code="unsupported_parameter",
                param="previous_response_id",
            )
        super().check_supported()

    @property
    def wants_logprobs(self) -> bool:
        return LOGPROBS in (self.include or ()) or bool(self.top_logprobs)

    def chat(self) -> ChatBody:
        """The same as a chat.

        Raises:
            InvalidRequest: a tool that does not run here, a file, or a schema that is missing.
        """
        fields: dict[str, Any] = {
            "model": self.model,
            "messages": self._messages(),
            "stream": bool(self.stream),
            "max_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
        }
        if self.tools:
            fields["tools"] = [_tool(tool, number) for number, tool in enumerate(self.tools)]
        choice = self.tool_choice
        if isinstance(choice, dict):
            fields["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
        elif choice is not None:
            fields["tool_choice"] = choice
        if self.parallel_tool_calls is not None:
            fields["parallel_tool_calls"] = self.parallel_tool_calls
        answer_format = (self.text or {}).get("format")
        if answer_format:
            fields["response_format"] = _response_format(answer_format)
        effort = (self.reasoning or {}).get("effort")
        if effort:
            fields["reasoning_effort"] = effort
        if self.wants_logprobs:
            fields["logprobs"] = True
            fields["top_logprobs"] = self.top_logprobs
        return ChatBody.model_construct(**fields)

    def _messages(self) -> list[dict[str, Any]]:
        conversation = _Conversation()
        if self.instructions:
            conversation.add("system", self.instructions)
        if isinstance(self.input, str):
            conversation.add("user", self.input)
            return conversation.messages
        for number, item in enumerate(self.input):
            conversation.take(item, f"input[{number}]")
        return conversation.messages


class _Conversation:
    """Items as the messages of a chat: what the model thought, said and called in one turn is one
    message."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._names: dict[str, str] = {}
        self._turn: dict[str, Any] | None = None
        """The assistant's message that may still grow."""

    def add(self, role: str, content: Any) -> None:
        """A message of its own."""
        self._turn = None
        self.messages.append({"role": role, "content": content})

    def take(self, item: Any, where: str) -> None:
        """The next item; `where` it is, for errors."""
        kind = item.get("type", "message")
        if kind == "reasoning":
            told = item.get("content") or item.get("summary") or ()
            thoughts = "\n".join(part["text"] for part in told)
            if thoughts:
                self._assistant(("content", "tool_calls"))["reasoning_content"] = thoughts
        elif kind == "function_call":
            self._names[item["call_id"]] = item["name"]
            function = {"name": item["name"], "arguments": item["arguments"]}
            call = {"id": item["call_id"], "type": "function", "function": function}
            self._assistant(()).setdefault("tool_calls", []).append(call)
        elif kind == "function_call_output":
            self.add("tool", _content(item["output"], f"{where}.output"))
            result = self.messages[-1]
            result["tool_call_id"] = item["call_id"]
            if item["call_id"] in self._names:
                result["name"] = self._names[item["call_id"]]
        elif item["role"] == "assistant":
            turn = self._assistant(("content", "tool_calls"))
            turn["content"] = _text(item["content"], f"{where}.content")
        else:
            role = "system" if item["role"] == "developer" else item["role"]
            self.add(role, _content(item["content"], f"{where}.content"))

    def _assistant(self, without: tuple[str, ...]) -> dict[str, Any]:
        """The assistant's message of this turn, or another one if it has any of these."""
        if self._turn is None or any(self._turn.get(field) for field in without):
            self._turn = {"role": "assistant", "content": None}
            self.messages.append(self._turn)
        return self._turn


def _content(content: Any, where: str) -> Any:
    if isinstance(content, str):
        return content
    return [_part(part, f"{where}[{number}]") for number, part in enumerate(content)]


def _part(part: Any, where: str) -> dict[str, Any]:
    if part["type"] == "refusal":
        return {"type": "text", "text": part["refusal"]}
    if part["type"] != "input_image":
        return {"type": "text", "text": part["text"]}
    if not part.get("image_url"):
        raise InvalidRequest(
            f"`{where}`: files are not kept here. Send the picture as `image_url`, by URL or in "
            "a data URL: data:image/png;base64,...",
            code="unsupported_parameter",
            param=where,
        )
    return {"type": "image_url", "image_url": {"url": part["image_url"]}}


def _text(content: Any, where: str) -> str:
    """What the model said."""
    parts = _content(content, where)
    if isinstance(parts, str):
        return parts
    for number, part in enumerate(parts):
        if part["type"] != "text":
            raise InvalidRequest(
                f"`{where}[{number}]`: a picture cannot stand in a message of the assistant.",
                param=f"{where}[{number}]",
            )
    return "".join(part["text"] for part in parts)


def _tool(tool: ResponseTool, number: int) -> dict[str, Any]:
    if tool["type"] != "function":
        raise InvalidRequest(
            f"`tools[{number}]` is of type {tool['type'][:60]!r}; expected 'function'. Tools that "
            "run at OpenAI do not run here.",
            code="unsupported_parameter",
            param=f"tools[{number}].type",
        )
    if not tool.get("name"):
        raise InvalidRequest(
            f"`tools[{number}].name`: a function needs a name.", param=f"tools[{number}].name"
        )
    function: dict[str, Any] = {
        "name": tool["name"],
        "parameters": tool.get("parameters") or {},
    }
    for field in ("description", "strict"):
        if tool.get(field) is not None:
            function[field] = tool[field]
    return {"type": "function", "function": function}


def _response_format(given: TextFormat) -> dict[str, Any]:
    if given["type"] != "json_schema":
        return {"type": given["type"]}
    if "schema" not in given:
        raise InvalidRequest(
            "`text.format.schema`: a format of type 'json_schema' has one.",
            param="text.format.schema",
        )
    schema: dict[str, Any] = {"name": given.get("name") or "output", "schema": given["schema"]}
    if given.get("strict") is not None:
        schema["strict"] = given["strict"]
    return {"type": "json_schema", "json_schema": schema}
