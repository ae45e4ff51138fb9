"""The thread that computes: requests in, a list of events out of every step."""

from __future__ import annotations

import queue
from collections.abc import Callable
from itertools import count

from xinfer.errors import EngineFailed, InvalidRequest, XinferError
from xinfer.model.engine import TokenEvent, TokenRequest
from xinfer.model.llm.constraint.errors import check_end
from xinfer.model.llm.scheduling.computer import Choice, Computer, Outcome, Uncomputable
from xinfer.model.llm.scheduling.scheduler import Chunk, NoRoom, Scheduler, Sequence
from xinfer.types.failure import Failure
from xinfer.types.model import EngineStats


class StepLoop:
    """Runs the requests of one loaded model together.

    `submit`, `abort`, `stats` and `stop` may be called from any thread.

    Args:
        scheduler: for the computer's cache.
        context_length: tokens of one request.
        emit: takes the events of a step, on the computing thread.
    """

    def __init__(
        self,
        computer: Computer,
        scheduler: Scheduler,
        *,
        context_length: int,
        emit: Callable[[list[TokenEvent]], None],
    ) -> None:
        self._computer = computer
        self._scheduler = scheduler
        self._context_length = context_length
        self._emit = emit
        self._inbox: queue.SimpleQueue[Sequence | None] = queue.SimpleQueue()
        self._numbers = count()
        self._sequences: dict[int, Sequence] = {}
        self._begun: set[int] = set()
        self._interruptible: frozenset[int] = frozenset()
        self._stopped = False
        self._prompt_tokens = 0
        self._cached_tokens = 0
        self._completion_tokens = 0

    def submit(self, request: TokenRequest) -> None:
        """Take a request."""
        layout = None if request.media is None else request.media.layout
        sequence = Sequence(request, next(self._numbers), layout)
        self._sequences[request.id] = sequence
        self._inbox.put(sequence)

    def abort(self, request_id: int) -> None:
        """End a request with the next step; with the running one, if that computes its prompt."""
        sequence = self._sequences.get(request_id)
        if sequence is not None:
            sequence.cancelled = True
            if request_id in self._interruptible:
                self._computer.interrupt()
            self._inbox.put(None)

    def stop(self) -> None:
        """Have `run` return, after the events of what it still had to end."""
        self._stopped = True
        for sequence in list(self._sequences.values()):
            sequence.cancelled = True
        self._computer.interrupt()
        self._inbox.put(None)

    def stats(self) -> EngineStats:
        """Counters since load; a request's prompt counts once it has begun."""
        running = len(self._scheduler.running)
        return EngineStats(
            running=running,
            # The computing thread may have ended some since.
            waiting=max(0, len(self._sequences) - running),
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self._cached_tokens,
            completion_tokens=self._completion_tokens,
        )

    def run(self) -> None:
        """Compute until `stop`; on a thread of its own.

        Raises:
            EngineFailed: the engine failed in a way that leaves nothing to rely on.
        """
        while True:
            self._computer.expect_no_interrupt()
            events = self._receive()
            events += self._end_cancelled()
            if self._stopped:
                break
            events += self._step()
            if events:
                self._emit(events)
        self._emit(events)

    def _receive(self) -> list[TokenEvent]:
        """Take in what has come; waits while there is nothing to compute."""
        events = []
        idle = not self._begun and not self._stopped
        while idle or not self._inbox.empty():
            sequence = self._inbox.get()
            idle = False
            if sequence is not None:
                events += self._begin(sequence)
        return events

    def _begin(self, sequence: Sequence) -> list[TokenEvent]:
        request = sequence.request
        if sequence.cancelled:
            return [self._end(sequence, "abort")]
        try:
            self._check(sequence)
            if sequence.output >= request.max_tokens:
                return [self._end(sequence, "length")]
            self._computer.begin(sequence)
        except XinferError as error:
            return [self._end(sequence, "error", Failure.of(error))]
        self._begun.add(request.id)
        self._scheduler.add(sequence)
        return []

    def _check(self, sequence: Sequence) -> None:
        """What an engine might answer by ending the process, or not at all."""
        request = sequence.request
        size = self._computer.vocabulary_size
        ids = sequence.text_tokens()
        if not request.prompt or min(ids) < 0 or max(ids) >= size:
            raise InvalidRequest(f"A prompt has to have token ids from 0 to {size - 1}.")
        if len(request.prompt) + request.max_tokens > self._context_length:
            raise InvalidRequest(
                f"{len(request.prompt)} tokens of prompt and {request.max_tokens} of output exceed "
                f"the available context size of {self._context_length} tokens.",
                code="context_length_exceeded",
            )
        if request.adapter is not None and request.adapter not in self._computer.adapters:
            raise InvalidRequest(f"There is no LoRA adapter {request.adapter!r}.")
        check_end(request.constraint, request.sampling)

    def _end_cancelled(self) -> list[TokenEvent]:
        cancelled = [
            sequence
            for sequence in (*self._scheduler.running, *self._scheduler.waiting)
            if sequence.cancelled
        ]
        return [self._end(sequence, "abort") for sequence in cancelled]

    def _step(self) -> list[TokenEvent]:
        try:
            chunks = self._scheduler.plan()
            if not chunks:
                return []
            outcome = self._compute(chunks)
            if outcome is Outcome.NO_ROOM:
                self._scheduler.overfull()
        except NoRoom:
            return [self._fail_youngest()]
        except Uncomputable as failed:
            self._scheduler.undo(chunks)
            return [self._end(failed.sequence, "error", Failure.of(failed.error))]
        if outcome is Outcome.ABORTED:
            self._scheduler.undo(chunks)
        if outcome is not Outcome.DONE:
            return []
        self._scheduler.computed(chunks)
        ready = [chunk.sequence for chunk in chunks if chunk.last]
        if not ready:
            return []
        choices = self._computer.choose(ready)
        return [self._advance(*pair) for pair in zip(ready, choices, strict=True)]

    def _compute(self, chunks: list[Chunk]) -> Outcome:
        # Outputs are a moment's work; for those in the midst of their prompt a step may be long.
        self._interruptible = frozenset(c.sequence.request.id for c in chunks if c.count > 1)
        try:
            # Whoever cancelled before the line above has not interrupted.
            if any(chunk.sequence.cancelled for chunk in chunks):
                return Outcome.ABORTED
            return self._computer.compute(chunks)
        finally:
            self._interruptible = frozenset()

    def _advance(self, sequence: Sequence, choice: Choice | XinferError) -> TokenEvent:
        request = sequence.request
        if sequence.output == len(request.resume):
            self._prompt_tokens += len(request.prompt)
            self._cached_tokens += sequence.cached or 0
        if isinstance(choice, XinferError):
            return self._end(sequence, "error", Failure.of(choice))
        if choice.token in self._computer.end_ids:
            return self._end(sequence, "stop")
        sequence.tokens.append(choice.token)
        sequence.output += 1
        self._completion_tokens += 1
        finish = "length" if sequence.output >= request.max_tokens else None
        if finish is not None:
            self._forget(sequence)
        return TokenEvent(
            request.id,
            [choice.token],
            finish,
            cached_tokens=sequence.cached or 0,
            logprobs=[] if choice.logprob is None else [choice.logprob],
        )

    def _fail_youngest(self) -> TokenEvent:
        sequence = max(self._scheduler.running, key=lambda running: running.number)
        error = EngineFailed(
            f"The KV cache has no room for this request's {len(sequence.tokens)} tokens."
        )
        return self._end(sequence, "error", Failure.of(error))

    def _end(self, sequence: Sequence, reason: str, failure: Failure | None = None) -> TokenEvent:
        self._forget(sequence)
        return TokenEvent(
            sequence.request.id, [], reason, failure, cached_tokens=sequence.cached or 0
        )

    def _forget(self, sequence: Sequence) -> None:
        self._scheduler.finish(sequence)
        self._sequences.pop(sequence.request.id, None)
        self._begun.discard(sequence.request.id)
        self._computer.forget(sequence)
