"""One request on its way through llama.cpp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xinfer.errors import EngineFailed
from xinfer.model.engine import TokenEvent, TokenRequest
from xinfer.model.llm.xllamacpp.sampling import request_fields
from xinfer.model.llm.xllamacpp.server import Chunk, LlamaServer
from xinfer.model.llm.xllamacpp.stream import (
    EXACT_BYTES,
    STREAM,
    IdStream,
    PieceIndex,
    Unreadable,
)
from xinfer.model.xllamacpp.server import failure_of
from xinfer.types.failure import Failure


class Generation:
    """Runs on a thread of its own; `cancelled` may be set from another one.

    Args:
        defaults: llama.cpp's sampling fields where the request is silent.
        end_ids: tokens that end a text; they are not given out.
        emit: takes the events, on this generation's thread.
    """

    def __init__(
        self,
        request: TokenRequest,
        *,
        defaults: dict[str, float],
        index: PieceIndex,
        end_ids: frozenset[int],
        emit: Callable[[TokenEvent], None],
    ) -> None:
        self.cancelled = False
        self.completion_tokens = 0
        self.cached_tokens = 0
        self._request = request
        self._output = list(request.resume)
        self._defaults = defaults
        self._index = index
        self._ids = IdStream(index)
        self._end_ids = end_ids
        self._emit = emit
        self._final: Chunk | None = None
        self._error: Exception | None = None

    def run(self, server: LlamaServer) -> TokenEvent:
        """Generate to the end. Returns the request's last event, which `emit` does not get."""
        try:
            if self.cancelled:
                return self._last("abort")
            if self._left() <= 0:
                return self._last("length")
            try:
                self._stream(server, STREAM)
            except Unreadable:
                # Nobody has seen the tokens in question: they are made again, readably.
                self._stream(server, STREAM | EXACT_BYTES)
            return self._finish(server)
        except Exception as error:
            return self._last("error", failure=Failure.of(error))

    def _left(self) -> int:
        return self._request.max_tokens - len(self._output)

    def _last(self, reason: str, failure: Failure | None = None) -> TokenEvent:
        return TokenEvent(self._request.id, [], reason, failure, self.cached_tokens)

    def _body(self, max_tokens: int, extra: dict[str, Any]) -> dict[str, Any]:
        """llama.cpp's request for what comes after the output so far."""
        position = len(self._output)
        return {
            **request_fields(self._request.sampling, self._defaults, position=position),
            **extra,
            "prompt": self._request.prompt + self._output,
            "max_tokens": max_tokens,
        }

    def _stream(self, server: LlamaServer, extra: dict[str, Any]) -> None:
        self._ids = IdStream(self._index)
        self._error = None
        server.complete(self._body(self._left(), extra), self._on_chunk)
        if self._error is not None:
            raise self._error

    def _on_chunk(self, chunk: Chunk) -> bool:
        """True ends the stream. llama.cpp loses exceptions, so they are kept for `_stream`."""
        try:
            if not self.cancelled:
                self._take(chunk)
        except Exception as error:
            self._error = error
            return True
        return self.cancelled

    def _take(self, chunk: Chunk) -> None:
        if "error" in chunk:
            raise failure_of(chunk)
        if "prompt_progress" in chunk:
            if self.completion_tokens == 0:
                # What was reused may reach into the output that is resumed.
                reused = chunk["prompt_progress"]["cache"]
                self.cached_tokens = min(reused, len(self._request.prompt))
            return
        if chunk["choices"][0]["finish_reason"] is not None:
            self._final = chunk["__verbose"]
            return
        self._give_out(self._ids.feed(chunk))

    def _give_out(self, ids: list[int]) -> None:
        if ids and ids[-1] in self._end_ids:
            ids = ids[:-1]
        if ids:
            self._output += ids
            self.completion_tokens += len(ids)
            self._emit(TokenEvent(self._request.id, ids))

    def _finish(self, server: LlamaServer) -> TokenEvent:
        if self.cancelled:
            return self._last("abort")
        if self._final is None:
            raise EngineFailed("llama.cpp ended the request without saying why.")
        reason = _reason(self._final)
        lost = self._final["tokens_predicted"] - self._ids.count
        if reason == "length" and lost > 0:
            reason = self._make_again(server, lost)
        return self._last(reason)

    def _make_again(self, server: LlamaServer, count: int) -> str:
        """The last tokens, where the limit fell inside a character and they never came."""
        extra = {"return_tokens": True, "verbose": True}
        answer = server.complete(self._body(count, extra))["__verbose"]
        self._give_out(answer["tokens"])
        return _reason(answer)


def _reason(final: Chunk) -> str:
    return "stop" if final["stop_type"] == "eos" else "length"
