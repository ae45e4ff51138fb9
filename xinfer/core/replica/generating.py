"""Requests that a token engine answers: the pipeline's text in, the engine's tokens out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from xinfer.core.replica.active import ActiveRequest
from xinfer.core.replica.backend import wrong_kind
from xinfer.core.replica.outbox import Channel
from xinfer.errors import Cancelled, InvalidRequest, XinferError
from xinfer.model.engine import TokenEngine, TokenEvent
from xinfer.model.llm.pipeline import Output, TextPipeline
from xinfer.types.event import Computed, Failed, Finished, Started, Usage
from xinfer.types.failure import Failure
from xinfer.types.link import Submit
from xinfer.types.model import EngineStats
from xinfer.types.request import ChatRequest, Request, TextRequest

if TYPE_CHECKING:
    from xinfer.model.llm.pipeline import OutputPipeline, Prepared

logger = logging.getLogger(__name__)

_INLINE_BYTES = 16_384
"""Requests up to this size are prepared on the loop (well under a millisecond)."""


class TokenBackend:
    """A token engine behind the pipeline."""

    def __init__(self, engine: TokenEngine, pipeline: TextPipeline) -> None:
        self._engine = engine
        self._pipeline = pipeline
        self._running: dict[int, Generating] = {}

    def begin(self, number: int, message: Submit, size: int, channel: Channel) -> Generating:
        return Generating(number, message, size, channel, self._engine, self._pipeline, self)

    async def run(self) -> None:
        """Hand the engine's events to their requests."""
        async for events in self._engine.steps():
            for event in events:
                request = self._running.get(event.id)
                if request is not None:
                    request.on_event(event)

    def enter(self, request: Generating) -> None:
        """The engine has it: its events begin."""
        self._running[request.number] = request

    def leave(self, request: Generating) -> None:
        """It has ended."""
        self._running.pop(request.number, None)

    def stats(self) -> EngineStats:
        return self._engine.stats()

    def spell(self, ids: Sequence[int]) -> list[str]:
        return [piece.decode(errors="replace") for piece in self._spelled(ids, "input")]

    def tokens(self, request: TextRequest, bare: bool) -> list[int]:
        return self._pipeline.tokens(request, bare=bare)

    def text(self, ids: Sequence[int]) -> str:
        return b"".join(self._spelled(ids, "tokens")).decode(errors="replace")

    def _spelled(self, ids: Sequence[int], param: str) -> list[bytes]:
        tokenizer = self._engine.tokenizer
        size = tokenizer.vocabulary_size
        for token in ids:
            if not 0 <= token < size:
                raise InvalidRequest(
                    f"The model has no token {token}; its ids are 0 to {size - 1}.", param=param
                )
        return [tokenizer.piece(token) for token in ids]

    def progress(self, request_id: str) -> float | None:
        return None

    def close(self) -> None:
        self._engine.close()


class Generating(ActiveRequest):
    """One request that text is generated for."""

    def __init__(
        self,
        number: int,
        message: Submit,
        size: int,
        channel: Channel,
        engine: TokenEngine,
        pipeline: TextPipeline,
        backend: TokenBackend,
    ) -> None:
        super().__init__(number, message, channel)
        self._request: Request = message.request
        self._resume = message.resume
        self._tell_computed = message.tell_computed
        self._stops: tuple[str, ...] = ()
        self._size = size
        self._engine = engine
        self._pipeline = pipeline
        self._backend = backend
        self._prepared: Prepared | None = None
        self._output: OutputPipeline | None = None
        self._prompt_tokens = 0
        self._cached_tokens = 0
        self._submitted = False
        self._left_engine = asyncio.Event()

    async def _prepare(self) -> None:
        request = self._request
        if not isinstance(request, TextRequest):
            raise wrong_kind("generates text")
        self._stops = request.stop
        prepare = self._pipeline.prepare
        if self._size <= _INLINE_BYTES and not _takes_long(request):
            self._prepared = prepare(request, id=self.number, resume=self._resume)
        else:
            self._prepared = await asyncio.to_thread(
                prepare, request, id=self.number, resume=self._resume
            )

    async def _compute(self, waited: float) -> None:
        prepared, self._prepared = self._prepared, None
        assert prepared is not None
        engine = self._engine
        self._output = prepared.output
        self._prompt_tokens = prepared.prompt_tokens
        if prepared.ended is not None:
            self.channel.put(Started(self.channel.rid, prepared.prompt_tokens, waited))
            self._deliver(prepared.output, Output(reason=prepared.ended))
            return
        self._backend.enter(self)
        try:
            engine.submit(prepared.token_request)
            self._submitted = True
            self.channel.put(Started(self.channel.rid, prepared.prompt_tokens, waited))
            cancelled = False
            while not self._left_engine.is_set():
                try:
                    await self._left_engine.wait()
                except asyncio.CancelledError:  # may come again while the engine takes its time
                    cancelled = True
                    engine.abort(self.number)
        finally:
            self._backend.leave(self)
        if cancelled:
            raise asyncio.CancelledError

    def on_event(self, event: TokenEvent) -> None:
        """Take what one engine step made for this request."""
        if event.cached_tokens:
            self._cached_tokens = event.cached_tokens
        if self._tell_computed and event.ids:
            self._tell_computed = False
            self.channel.put(Computed(self.channel.rid))
        try:
            self._take(event)
        except Exception as error:  # this request's alone; others go on
            if not isinstance(error, XinferError):
                about = {"request_id": self.request_id}
                logger.exception("Request %s failed", self.request_id, extra=about)
            self._fail(error)
            self._abort_engine()
        if event.finish is not None:
            self._leave_engine()

    def on_engine_closed(self) -> None:
        self._leave_engine()

    def _leave_engine(self) -> None:
        self._leave_place()
        self._left_engine.set()

    def _take(self, event: TokenEvent) -> None:
        output = self._output
        if output is None or self.channel.closed:
            return
        if event.ids:
            made = output.feed(event.ids, event.logprobs)
            self._deliver(output, made)
            if made.stopped:
                self._abort_engine()
                return
        if event.finish in ("stop", "length"):
            self._deliver(output, output.finish(event.finish))
        elif event.finish == "error":
            failure = event.failure or Failure("EngineFailed", "The engine failed.", "engine_error")
            self.channel.end(Failed(self.channel.rid, failure))
        elif event.finish == "abort":
            self._fail(Cancelled("The request was aborted."))

    def _deliver(self, output: OutputPipeline, made: Output) -> None:
        if not self._send(made):
            raise Cancelled(
                "The client reads too slowly: the answer held back for it reached its limit.",
                code="slow_reader",
            )
        if made.reason is not None:
            self._output = None  # what the engine still makes does not belong to it
            usage = Usage(
                self._prompt_tokens,
                output.completion_tokens,
                self._cached_tokens,
                output.reasoning_tokens,
            )
            stop = made.stop if made.reason == "stop" and made.stop in self._stops else None
            self.channel.end(Finished(self.channel.rid, made.reason, usage, stop))

    def _send(self, made: Output) -> bool:
        """Send what there is to deliver. False: its reader is too slow."""
        if made.reasoning or made.calls:
            return self.channel.delta(
                made.text, made.ids, made.logprobs, made.reasoning, made.calls
            )
        if made.text or made.logprobs:
            return self.channel.delta(made.text, made.ids, made.logprobs)
        return True

    def _abort_engine(self) -> None:
        if self._submitted:
            self._engine.abort(self.number)


def _takes_long(request: TextRequest) -> bool:
    """A small picture may take long to decode, a small constraint to compile."""
    if isinstance(request, ChatRequest):
        forced = request.tool_choice in ("required", "named")
        forced = forced or any(tool["function"].get("strict") for tool in request.tools)
        return forced or bool(request.media) or request.constraint is not None
    return request.constraint is not None
