"""One request on its way through llama.cpp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xinfer.errors import EngineFailed
from xinfer.model.engine import TokenEvent, TokenRequest
from xinfer.model.llm.constraint.errors import check_end
from xinfer.model.llm.xllamacpp.guide import Guide, one_of
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


class _NotAllowed(Exception):
    """llama.cpp chose a token that the constraint does not allow."""


class Generation:
    """Runs on a thread of its own; `cancelled` may be set from another one.

    Args:
        defaults: llama.cpp's sampling fields where the request is silent.
        end_ids: tokens that end a text; they are not given out.
        emit: takes the events, on this generation's thread.
        guide: makes what the request's constraint is followed with; None: it has none.
    """

    def __init__(
        self,
        request: TokenRequest,
        *,
        defaults: dict[str, float],
        index: PieceIndex,
        end_ids: frozenset[int],
        emit: Callable[[TokenEvent], None],
        guide: Callable[[], Guide] | None = None,
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
        self._make_guide = guide
        self._guide: Guide | None = None
        self._final: Chunk | None = None
        self._error: Exception | None = None

    def run(self, server: LlamaServer) -> TokenEvent:
        """Generate to the end. Returns the request's last event, which `emit` does not get."""
        try:
            if self.cancelled:
                return self._last("abort")
            if self._left() <= 0:
                return self._last("length")
            if self._make_guide is not None:
                self._guide = self._make_guide()
                return self._guided(server, self._guide)
            try:
                self._stream(server, STREAM)
            except Unreadable:
                # Nobody has seen the tokens in question: they are made again, readably.
                self._stream(server, STREAM | EXACT_BYTES)
            return self._finish(server)
        except Exception as error:
            return self._last("error", failure=Failure.of(error))

    def _guided(self, server: LlamaServer, guide: Guide) -> TokenEvent:
        """The same under a constraint.

        Where llama.cpp can follow it, which it does from an output's beginning only, it chooses
        among the tokens that are allowed. Otherwise it chooses freely, and where that is not
        allowed it is asked again, for one that is.
        """
        check_end(self._request.constraint, self._request.sampling)
        guide.replay(self._output)
        fields = {"grammar": guide.grammar} if guide.grammar and not self._output else {}
        while self._left() > 0:
            last = self._run_freely(server, guide, fields)
            if last is not None:
                return last
            allowed = guide.next()
            if not allowed:
                return self._last("stop")
            if len(allowed) == 1 and not guide.complete:
                self._give_out(allowed)
            elif (last := self._choose(server, guide, allowed)) is not None:
                return last
            fields = {}
        return self._last("length")

    def _choose(self, server: LlamaServer, guide: Guide, allowed: list[int]) -> TokenEvent | None:
        """One token more, of these; the request's end where the model would rather end."""
        grammar = one_of(allowed, optional=guide.complete)
        extra = {"return_tokens": True, "verbose": True, "grammar": grammar}
        answer = server.complete(self._body(1, extra))["__verbose"]
        if answer["stop_type"] == "eos" and guide.complete:
            return self._last("stop")
        made = len(self._output)
        self._give_out(answer["tokens"])
        if len(self._output) == made:
            raise EngineFailed("llama.cpp chose a token that its grammar does not allow.")
        return None

    def _run_freely(
        self, server: LlamaServer, guide: Guide, fields: dict[str, Any]
    ) -> TokenEvent | None:
        """Go on as long as what is chosen is allowed; None where it is not, or cannot be read."""
        try:
            self._stream(server, STREAM | fields)
        except (_NotAllowed, Unreadable):
            return None
        if self.cancelled:
            return self._last("abort")
        reason = _reason(self._finished())
        if reason == "stop" and guide.complete:
            return self._last("stop")
        return self._last("length") if self._left() <= 0 else None

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
        self._error = self._final = None
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
        chosen = len(ids)
        if self._guide is not None:
            ids = self._guide.accept(ids)
        if ids:
            self._output += ids
            self.completion_tokens += len(ids)
            self._emit(TokenEvent(self._request.id, ids))
        if len(ids) < chosen:
            raise _NotAllowed

    def _finish(self, server: LlamaServer) -> TokenEvent:
        if self.cancelled:
            return self._last("abort")
        final = self._finished()
        reason = _reason(final)
        lost = final["tokens_predicted"] - self._ids.count
        if reason == "length" and lost > 0:
            reason = self._make_again(server, lost)
        return self._last(reason)

    def _finished(self) -> Chunk:
        """What llama.cpp said at the end of the stream."""
        if self._final is None:
            raise EngineFailed("llama.cpp ended the request without saying why.")
        return self._final

    def _make_again(self, server: LlamaServer, count: int) -> str:
        """The last tokens, where the limit fell inside a character and they never came."""
        extra = {"return_tokens": True, "verbose": True}
        answer = server.complete(self._body(count, extra))["__verbose"]
        self._give_out(answer["tokens"])
        return _reason(answer)


def _reason(final: Chunk) -> str:
    return "stop" if final["stop_type"] == "eos" else "length"
