"""One running request of the echo engine."""

from __future__ import annotations

from xinfer.model.engine import Logprob, TokenEvent, TokenRequest
from xinfer.model.llm.echo.command import Command


class EchoRequest:
    """Where a request stands in repeating its prompt.

    Args:
        request: `resume` counts as output that has been made.
        command: carried out once its tokens are made.
        due: `time.monotonic()` before which it makes nothing.
    """

    __slots__ = (
        "_command",
        "_end",
        "_id",
        "_max_tokens",
        "_position",
        "_prompt",
        "_top",
        "due",
    )

    def __init__(self, request: TokenRequest, command: Command | None, due: float) -> None:
        self._id = request.id
        self._prompt = request.prompt
        self._max_tokens = request.max_tokens
        self._position = len(request.resume)
        self._command = command
        self._top = request.sampling.logprobs
        if command is not None:
            self._end = min(command.after, request.max_tokens)
        elif request.sampling.ignore_eos:
            self._end = request.max_tokens
        else:
            self._end = min(len(request.prompt), request.max_tokens)
        self.due = due

    def advance(self, tokens: int) -> TokenEvent | None:
        """Make up to `tokens` tokens. None: it has stalled.

        The end of the text takes the place of a token, as with a model that has to choose it.
        """
        ids = self._take(min(tokens, self._end - self._position))
        if self._position >= self._max_tokens:
            return self._event(ids, "length")
        if self._position < self._end or len(ids) == tokens:
            return self._event(ids)
        if self._command is None:
            return self._event(ids, "stop")
        return self._event(ids) if ids else self._command.strike(self._id)

    def _event(self, ids: list[int], finish: str | None = None) -> TokenEvent:
        if self._top is None:
            return TokenEvent(self._id, ids, finish)
        # An echo is certain of its next token, and no other is likely at all.
        logprobs = [Logprob(0.0, [(token, 0.0)] if self._top else []) for token in ids]
        return TokenEvent(self._id, ids, finish, logprobs=logprobs)

    def _take(self, count: int) -> list[int]:
        if count <= 0:
            return []
        size = len(self._prompt)
        start = self._position % size
        ids = self._prompt[start : start + count]
        while len(ids) < count:
            ids += self._prompt[: count - len(ids)]
        self._position += count
        return ids
