"""What a replica's service needs of whatever computes its requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from xinfer.core.replica.active import ActiveRequest
from xinfer.core.replica.outbox import Channel
from xinfer.errors import InvalidRequest
from xinfer.types.link import Submit
from xinfer.types.model import EngineStats
from xinfer.types.request import TextRequest


class Backend(Protocol):
    """An engine, and what stands between it and requests."""

    def begin(self, number: int, message: Submit, size: int, channel: Channel) -> ActiveRequest:
        """A request that has come, to be run.

        Args:
            size: bytes of its frame.
        """
        ...

    async def run(self) -> None:
        """Compute, until it is closed.

        Raises:
            Exception: the engine is beyond repair.
        """
        ...

    def stats(self) -> EngineStats: ...

    def spell(self, ids: Sequence[int]) -> list[str]:
        """What tokens are called.

        Raises:
            InvalidRequest: an id is not in the vocabulary, or the engine does not tell.
        """
        ...

    def tokens(self, request: TextRequest, bare: bool) -> list[int]:
        """The ids of the prompt that a request would begin with. Blocks; from any thread.

        Args:
            bare: leave out what a plain prompt begins with.

        Raises:
            XinferError: the request is refused, or the model generates no text.
        """
        ...

    def text(self, ids: Sequence[int]) -> str:
        """What tokens stand for together.

        Raises:
            InvalidRequest: an id is not in the vocabulary, or the model generates no text.
        """
        ...

    def progress(self, request_id: str) -> float | None:
        """How much is done of the request with this public id, from 0 to 1; None where there is
        none, or nothing is known of it."""
        ...

    def close(self) -> None:
        """Close the engine; `run` returns then."""
        ...


def wrong_kind(does: str) -> InvalidRequest:
    """The refusal of a request that is not for this kind of model."""
    return InvalidRequest(f"This model {does}; the request is for a model of another type.")
