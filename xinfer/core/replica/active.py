"""One request, from admission to its one end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from xinfer.core import logs
from xinfer.core.replica.admission import Admission, Place
from xinfer.core.replica.outbox import Channel
from xinfer.errors import Cancelled, XinferError
from xinfer.model.engine import TokenEngine, TokenEvent
from xinfer.model.llm.pipeline import TextPipeline
from xinfer.types.event import Accepted, Failed, Finished, Started, Usage
from xinfer.types.failure import Failure
from xinfer.types.request import ChatRequest, Request

if TYPE_CHECKING:
    from xinfer.model.llm.pipeline import Output, OutputPipeline, Prepared

logger = logging.getLogger(__name__)

_INLINE_BYTES = 16_384
"""Requests up to this size are prepared on the loop (well under a millisecond)."""


class ActiveRequest:
    """Owns one request.

    Its task ends when the engine holds nothing of it any more and its end has been sent.
    """

    def __init__(
        self, engine_id: int, request_id: str, request: Request, size: int, channel: Channel
    ) -> None:
        self.engine_id = engine_id
        self.request_id = request_id
        self.channel = channel
        self._request = request
        self._size = size
        self._accepted = False
        self._output: OutputPipeline | None = None
        self._prompt_tokens = 0
        self._cached_tokens = 0
        self._place: Place | None = None
        self._engine: TokenEngine | None = None
        self._left_engine = asyncio.Event()

    async def run(self, admission: Admission, pipeline: TextPipeline, engine: TokenEngine) -> None:
        """Admit, prepare, submit, and wait until the engine has let go of the request."""
        logs.request_id.set(self.request_id)
        try:
            place = admission.enter()
        except XinferError as error:
            self._fail(error)
            return
        self._place = place
        try:
            prepared = await self._prepare(pipeline)
            self.channel.put(Accepted(self.channel.rid))
            self._accepted = True
            waited = await place.slot()
            await self._generate(prepared, engine, waited)
        except XinferError as error:
            self._fail(error)
        except Exception as error:
            logger.exception("Request %s failed", self.request_id)
            self._fail(error)
        finally:
            place.leave()
        await self.channel.wait_closed()

    async def _prepare(self, pipeline: TextPipeline) -> Prepared:
        if self._size <= _INLINE_BYTES and not self._has_media():
            return pipeline.prepare(self._request, id=self.engine_id)
        return await asyncio.to_thread(pipeline.prepare, self._request, id=self.engine_id)

    def _has_media(self) -> bool:
        """A small picture may take long to decode."""
        return isinstance(self._request, ChatRequest) and bool(self._request.media)

    async def _generate(self, prepared: Prepared, engine: TokenEngine, waited: float) -> None:
        self._output = prepared.output
        self._prompt_tokens = prepared.prompt_tokens
        engine.submit(prepared.token_request)
        self._engine = engine
        self.channel.put(Started(self.channel.rid, prepared.prompt_tokens, waited))
        cancelled = False
        while not self._left_engine.is_set():
            try:
                await self._left_engine.wait()
            except asyncio.CancelledError:  # may come again while the engine takes its time
                cancelled = True
                engine.abort(self.engine_id)
        if cancelled:
            raise asyncio.CancelledError

    def on_event(self, event: TokenEvent) -> None:
        """Take what one engine step made for this request."""
        if event.cached_tokens:
            self._cached_tokens = event.cached_tokens
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
        """The engine holds nothing any more, and makes no more events."""
        self._leave_engine()

    def _leave_engine(self) -> None:
        if self._place is not None:
            self._place.leave()  # at once, so that the load that goes with the end knows it
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
        something = made.text or made.logprobs
        if something and not self.channel.delta(made.text, made.ids, made.logprobs):
            raise Cancelled(
                "The client reads too slowly: the answer held back for it reached its limit.",
                code="slow_reader",
            )
        if made.reason is not None:
            self._output = None  # what the engine still makes does not belong to it
            usage = Usage(self._prompt_tokens, output.completion_tokens, self._cached_tokens)
            self.channel.end(Finished(self.channel.rid, made.reason, usage))

    def _fail(self, error: BaseException) -> None:
        failure = Failure.of(error)
        if self._accepted:
            self.channel.end(Failed(self.channel.rid, failure))
        else:
            self.channel.refuse(failure)

    def end_with(self, error: XinferError) -> None:
        """End the request early, telling its client why. The task must be cancelled with it."""
        self._fail(error)

    def _abort_engine(self) -> None:
        if self._engine is not None:
            self._engine.abort(self.engine_id)
