"""Functions that a model may call, and which of them it is to call."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, FailFast, Field, with_config
from typing_extensions import NotRequired, TypeAliasType, TypedDict

from xinfer.errors import InvalidRequest

MAX_TOOLS = 256
FunctionName = Annotated[str, Field(min_length=1, max_length=256)]
_open = with_config(ConfigDict(extra="allow", strict=True, allow_inf_nan=False))


@_open
class Function(TypedDict):
    """A function; `parameters` is a JSON schema of its arguments."""

    name: FunctionName
    description: NotRequired[str | None]
    parameters: NotRequired[dict[str, Any] | None]
    strict: NotRequired[bool | None]


@_open
class Tool(TypedDict):
    """Functions are the only tools there are."""

    type: Literal["function"]
    function: Function


Functions = TypeAliasType("Functions", Annotated[list[Function], FailFast()])
Tools = TypeAliasType("Tools", Annotated[list[Tool], FailFast()])


@_open
class NamedFunction(TypedDict):
    """The function to call."""

    name: FunctionName


@_open
class NamedTool(TypedDict):
    """The tool to call."""

    type: NotRequired[Literal["function"]]
    function: NamedFunction


ToolChoice = Literal["auto", "none", "required"] | NamedTool
FunctionChoice = Literal["auto", "none"] | NamedFunction


class Chosen(NamedTuple):
    """What of it the model's replica hears."""

    tools: list[dict[str, Any]]
    choice: str
    name: str = ""


def choose(
    tools: Sequence[Tool] | None,
    tool_choice: ToolChoice | None,
    functions: Sequence[Function] | None,
    function_call: FunctionChoice | None,
) -> Chosen:
    """The functions, and which of them to call; the newer fields win.

    Raises:
        InvalidRequest: two functions have one name, or the one to call is not among them.
    """
    field, choice = "tool_choice", tool_choice
    offered: list[dict[str, Any]] = [dict(tool) for tool in tools or ()]
    if not offered and functions:
        offered = [{"type": "function", "function": function} for function in functions]
        field = "function_call"
        if isinstance(function_call, dict):
            choice = {"type": "function", "function": function_call}
        else:
            choice = function_call
    names = [tool["function"]["name"] for tool in tools or ()]
    if not names:
        names = [function["name"] for function in functions or ()]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRequest(
            f"Two functions are called {twice[:100]!r}; calls tell them by their names.",
            param="tools" if tools else "functions",
        )
    if choice is None:
        return Chosen(offered, "auto")
    if isinstance(choice, str):
        if choice == "required" and not offered:
            raise _not_offered("a function is to be called", field)
        return Chosen(offered, choice)
    name = choice["function"]["name"]
    if name not in names:
        raise _not_offered(f"the function {name[:100]!r} is to be called", field)
    return Chosen(offered, "named", name)


def _not_offered(what: str, field: str) -> InvalidRequest:
    return InvalidRequest(
        f"By `{field}` {what}, which is not among those of the request. Add it, or send 'auto'.",
        param=field,
    )
