"""What continuous batching needs of an engine: computing a step, and choosing tokens after it."""

from __future__ import annotations

from collections.abc import Sequence as Sequences
from enum import Enum
from typing import Protocol

import msgspec

from xinfer.errors import XinferError
from xinfer.model.engine import Logprob
from xinfer.model.llm.scheduling.scheduler import Chunk, Sequence


class Outcome(Enum):
    """How a step ended."""

    DONE = 0
    NO_ROOM = 1
    """The cache has no place for it; nothing was computed."""
    ABORTED = 2
    """Some of it may have been computed."""


class Uncomputable(Exception):
    """A step cannot be computed because of one sequence; nothing else is the worse for it."""

    def __init__(self, sequence: Sequence, error: XinferError) -> None:
        super().__init__(error.message)
        self.sequence = sequence
        self.error = error


class Choice(msgspec.Struct, frozen=True, gc=False):
    """A token that was chosen, with its log-probability where the request asked for it."""

    token: int
    logprob: Logprob | None = None


class Computer(Protocol):
    """A loaded model. Used by one thread, but for `interrupt`."""

    end_ids: frozenset[int]
    """Tokens that end an output."""
    vocabulary_size: int
    adapters: frozenset[str]
    """Names of the LoRA adapters that are loaded."""

    def begin(self, sequence: Sequence) -> None:
        """Get ready to choose tokens for a sequence; its request has been checked.

        Raises:
            InvalidRequest: its sampling parameters or its constraint cannot be.
        """
        ...

    def forget(self, sequence: Sequence) -> None:
        """The sequence has ended; `begin` may have been called for it, or not."""
        ...

    def compute(self, chunks: Sequences[Chunk]) -> Outcome:
        """Compute a step: chunks of one adapter, or one medium alone.

        Raises:
            Uncomputable: one sequence has to end for the others to go on.
            EngineFailed: the engine cannot go on.
        """
        ...

    def choose(self, sequences: Sequences[Sequence]) -> list[Choice | XinferError]:
        """The next token of each sequence whose last token is in the step just computed, in the
        step's order; an error ends the one sequence."""
        ...

    def interrupt(self) -> None:
        """Let the step that is being computed end early, where that can be. From any thread."""
        ...

    def expect_no_interrupt(self) -> None:
        """Forget an interruption that came too late."""
        ...
