"""What one inference request came to, for its metrics and its trace."""

from __future__ import annotations

import time

from xinfer.types.event import Usage


class InferenceRecord:
    """Made once the model is known, filled while its answer is made; cheap for each batch.

    Args:
        model: the uid of a deployment that there is, so that labels stay bounded.
        operation: chat, generate, embeddings, rerank, text2image, transcribe, speech, ….
        arrived: monotonic seconds.
    """

    __slots__ = (
        "_arrived",
        "_began",
        "_last",
        "first",
        "gaps",
        "inputs",
        "model",
        "operation",
        "reasons",
        "stall",
        "stream",
        "truncated",
        "usage",
        "waits",
    )

    def __init__(self, model: str, operation: str, arrived: float, *, stream: bool) -> None:
        self.model = model
        self.operation = operation
        self.stream = stream
        self.waits: list[float] = []
        """Seconds that each choice was in a replica's waiting room."""
        self.reasons: list[str] = []
        """Why each finished choice ended."""
        self.usage = Usage()
        """Of the finished choices."""
        self.first: float | None = None
        """Seconds until the first text of a stream."""
        self.gaps: list[float] = []
        """Mean seconds between the tokens of each choice of a stream."""
        self.stall = 0.0
        """Longest time between two pieces of a stream, in seconds."""
        self.inputs = 0
        """Texts that vectors or scores were made of."""
        self.truncated = 0
        """Of these, how many were cut short."""
        self._arrived = arrived
        self._began: dict[int, float] = {}
        self._last: dict[int, float] = {}

    def tick(self, choice: int = 0) -> None:
        """A batch of a stream has come, of one of its choices."""
        now = time.monotonic()
        last = self._last.get(choice)
        if last is None:
            self._began[choice] = now
            if self.first is None:
                self.first = now - self._arrived
        elif now - last > self.stall:
            self.stall = now - last
        self._last[choice] = now

    def finish(self, reason: str, usage: Usage, waited: float, choice: int = 0) -> None:
        """A choice is complete; its number may be that of another one from here on."""
        self.reasons.append(reason)
        self.waits.append(waited)
        total = self.usage
        self.usage = Usage(
            total.prompt_tokens + usage.prompt_tokens,
            total.completion_tokens + usage.completion_tokens,
            total.cached_tokens + usage.cached_tokens,
        )
        began, last = self._began.pop(choice, None), self._last.pop(choice, None)
        if began is not None and last is not None and usage.completion_tokens > 1:
            self.gaps.append((last - began) / (usage.completion_tokens - 1))
