"""Calls of functions in OpenAI's shapes."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2s
from typing import Any

from xinfer.types.event import ToolCall

_ID_LENGTH = 9


class CallNames:
    """Ids of the calls of one choice: they follow from the request, so that the same call has the
    same id whichever process tells it.

    An id is nine letters and digits: Mistral's templates take no others back.
    """

    def __init__(self, request_id: str, created: int, choice: int = 0) -> None:
        self._key = f"{request_id} {created} {choice}"

    def id(self, index: int) -> str:
        digest = blake2s(f"{self._key} {index}".encode(), digest_size=8).hexdigest()
        return digest[:_ID_LENGTH]


def begun_before(calls: Sequence[ToolCall]) -> int:
    """How many pieces, at the beginning, are of a call that was begun before: they were made before
    the text that comes with them."""
    return next((number for number, call in enumerate(calls) if call.name), len(calls))


def tool_calls(calls: Sequence[ToolCall], names: CallNames) -> list[dict[str, Any]]:
    """The `tool_calls` of a whole message."""
    return [
        {"id": names.id(index), "type": "function", "function": function_call(call)}
        for index, call in enumerate(calls)
    ]


def function_call(call: ToolCall) -> dict[str, str]:
    """The older form, and a part of the newer one."""
    return {"name": call.name, "arguments": call.arguments}
