"""A conversation's messages, in OpenAI's shape; validated, they stay plain dictionaries.

Fields that OpenAI does not know are kept: a model's chat template may read them.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, FailFast, Field, with_config
from typing_extensions import NotRequired, TypeAliasType, TypedDict

_open = with_config(ConfigDict(extra="allow", strict=True))


@_open
class TextPart(TypedDict):
    """A piece of text."""

    type: Literal["text"]
    text: str


@_open
class ImageUrl(TypedDict):
    """A picture, in a data URL or where it is. `detail` has no effect: models have their own
    resolution."""

    url: str
    detail: NotRequired[str | None]


@_open
class ImagePart(TypedDict):
    """A picture; taken by models that have the ability `vision`."""

    type: Literal["image_url"]
    image_url: ImageUrl


@_open
class InputAudio(TypedDict):
    """A recording's bytes in base64."""

    data: str
    format: Literal["wav", "mp3"]


@_open
class AudioPart(TypedDict):
    """A recording; taken by models that have the ability `audio`."""

    type: Literal["input_audio"]
    input_audio: InputAudio


@_open
class AudioUrl(TypedDict):
    """A recording, in a data URL or where it is."""

    url: str


@_open
class AudioUrlPart(TypedDict):
    """The same, as vLLM has it."""

    type: Literal["audio_url"]
    audio_url: AudioUrl


@_open
class MediaPart(TypedDict):
    """A film or file, which no engine here takes."""

    type: Literal["video_url", "file"]


Part = Annotated[
    TextPart | ImagePart | AudioPart | AudioUrlPart | MediaPart, Field(discriminator="type")
]
# One wrong part is enough to know; a list of a million is not looked through.
Parts = TypeAliasType("Parts", Annotated[list[Part], FailFast()])
Content = str | Parts


@_open
class FunctionCall(TypedDict):
    """A function's name and its arguments as JSON text."""

    name: str
    arguments: str


@_open
class ToolCall(TypedDict):
    """A call the model made in an earlier turn."""

    id: NotRequired[str]
    type: NotRequired[Literal["function"]]
    function: FunctionCall


ToolCalls = TypeAliasType("ToolCalls", Annotated[list[ToolCall], FailFast()])


@_open
class SystemMessage(TypedDict):
    """Instructions. `developer` is OpenAI's newer word for `system`."""

    role: Literal["system", "developer"]
    content: Content
    name: NotRequired[str | None]


@_open
class UserMessage(TypedDict):
    """What the user said."""

    role: Literal["user"]
    content: Content
    name: NotRequired[str | None]


@_open
class AssistantMessage(TypedDict):
    """What the model answered in an earlier turn; `function_call` is the older form."""

    role: Literal["assistant"]
    content: NotRequired[Content | None]
    name: NotRequired[str | None]
    reasoning_content: NotRequired[str | None]
    tool_calls: NotRequired[ToolCalls | None]
    function_call: NotRequired[FunctionCall | None]


@_open
class ToolMessage(TypedDict):
    """A tool's result."""

    role: Literal["tool"]
    content: Content
    tool_call_id: NotRequired[str | None]
    name: NotRequired[str | None]


@_open
class FunctionMessage(TypedDict):
    """A tool's result, in the older form."""

    role: Literal["function"]
    content: str | None
    name: str


Message = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage,
    Field(discriminator="role"),
]


def normalize(messages: list[Message]) -> list[dict[str, Any]]:
    """The conversation in the words that chat templates know.

    `developer` becomes `system`; `function_call` becomes `tool_calls`, with the id that the next
    tool message names; `function` becomes `tool`, a result of the call before it.
    """
    out: list[dict[str, Any]] = []
    last = ""
    """Id of the last call in the older form."""
    for position, message in enumerate(messages):
        plain: dict[str, Any] = dict(message)
        role = plain["role"]
        if role == "developer":
            plain["role"] = "system"
        elif role == "function":
            plain["role"] = "tool"
            plain["content"] = plain["content"] or ""
            if last:
                plain["tool_call_id"] = last
        elif role == "assistant":
            plain.setdefault("content", None)
            call = plain.pop("function_call", None)
            if call and not plain.get("tool_calls"):
                following: Any = messages[position + 1] if position + 1 < len(messages) else {}
                last = call_id = following.get("tool_call_id") or f"call_{position}"
                plain["tool_calls"] = [{"id": call_id, "type": "function", "function": call}]
        out.append(plain)
    return out
