"""A stream whose replica is lost, where the tokens of what was delivered are not known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import pytest

from xinfer.core.gateway import ResponseStream
from xinfer.errors import ReplicaLost, XinferError
from xinfer.types.event import Delta, Started

pytestmark = pytest.mark.anyio


class Lost:
    """Gives text that no token stands for, then nothing any more."""

    def __init__(self) -> None:
        self._events: list[list[Delta]] = [[Delta(1, "the prompt", [])]]

    async def take(self) -> list[Delta]:
        if not self._events:
            raise ReplicaLost("it died")
        return self._events.pop()

    def credit(self, deltas: int) -> None: ...


async def test_what_was_delivered_is_not_delivered_again() -> None:
    async def restart(error: XinferError, delivered: Sequence[int]) -> NoReturn:
        raise AssertionError("begun anew")

    attempt: Any = Lost()
    stream = ResponseStream(attempt, Started(1, 3), restart, resumable=True)
    assert await anext(stream) == [Delta(1, "the prompt", [])]
    with pytest.raises(ReplicaLost, match="it died"):
        await anext(stream)
