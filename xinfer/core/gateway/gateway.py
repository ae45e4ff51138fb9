"""From a model's uid to an answer: choose a replica, send, and try another when it is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NoReturn, TypeVar

import msgspec

from xinfer.core.gateway.encoding import Encoding, collect_rows
from xinfer.core.gateway.policy import PowerOfTwo
from xinfer.core.gateway.replica_link import Attempt, ReplicaLink
from xinfer.core.gateway.siblings import Siblings
from xinfer.core.gateway.stream import ResponseStream
from xinfer.core.gateway.table import RoutingTable, not_ready
from xinfer.core.gateway.working import K, Work, WorkStream, keep_work
from xinfer.errors import ReplicaLost, XinferError
from xinfer.settings import Settings
from xinfer.types.deployment import (
    DeploymentState,
    DeploymentStatus,
    ReplicaStatus,
    Snapshot,
)
from xinfer.types.event import (
    Delta,
    Finished,
    LogprobDelta,
    MessageDelta,
    Started,
    TokenLogprob,
    ToolCall,
    Usage,
)
from xinfer.types.link import Inspected
from xinfer.types.request import EncodeRequest, Request, TextRequest, WorkRequest

T = TypeVar("T")

_SET_ASIDE = 1.0
"""Seconds for which a replica whose link broke is chosen only when no other is ready."""

_MAX_LOSSES = 3
"""Replicas that may die with one request before its client hears of it: fewer than it takes to
give up a deployment, so that a request that kills whatever runs it does not end a whole model."""


class Completion(msgspec.Struct, frozen=True):
    """A whole answer."""

    text: str
    reason: str
    usage: Usage
    logprobs: tuple[TokenLogprob, ...] = ()
    """Of its tokens, where the request asked for them."""
    waited: float = 0.0
    """Seconds in the waiting room."""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    stop: str | None = None
    """Of the request's stop strings, the one that ended it."""


class Gateway:
    """One in each API process; keeps one link to each replica it has used."""

    def __init__(self, table: RoutingTable, settings: Settings) -> None:
        self.table = table
        self._settings = settings
        self._policy = PowerOfTwo()
        self._links: dict[str, ReplicaLink] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        self._aside: dict[str, float] = {}

    async def open(
        self,
        uid: str,
        request: TextRequest,
        *,
        request_id: str,
        siblings: Siblings | None = None,
        reserved: Attempt | None = None,
    ) -> ResponseStream:
        """Send a request; returns when its engine has it, so the status is decided.

        Args:
            siblings: requests with the same prompt, this one among them.
            reserved: what `reserve` gave for it.

        Raises:
            XinferError: no such model, none ready, refused by all replicas, or invalid.
        """
        status = self.table.require_ready(uid)
        losses = _Losses()

        async def restart(error: XinferError, delivered: Sequence[int]) -> tuple[Attempt, Started]:
            losses.add(error)
            if delivered and not self._goes_on(uid, status):
                raise error
            return await self._start(
                uid, request, request_id, losses, error, delivered, siblings=siblings
            )

        attempt, started = await self._start(
            uid, request, request_id, losses, siblings=siblings, reserved=reserved
        )
        return ResponseStream(attempt, started, restart, resumable=_resumable(status, request))

    async def reserve(
        self, uid: str, request: TextRequest, *, request_id: str, siblings: Siblings, held: bool
    ) -> Attempt:
        """A place for a request; whoever gets it cancels it in the end.

        Args:
            siblings: as of `open`.
            held: it is not computed before `open` or `complete` is called with it.

        Raises:
            XinferError: as `open`.
        """
        self.table.require_ready(uid)
        attempt, _ = await self._submit(
            uid, request, request_id, _Losses(), Attempt.accepted, siblings=siblings, held=held
        )
        return attempt

    def _goes_on(self, uid: str, before: DeploymentStatus) -> bool:
        """Whether it is still the same model, on the same engine with the same options."""
        snapshot = self.table.snapshot
        now = snapshot.deployments.get(uid) if snapshot is not None else None
        return now is not None and now.deployment.generation == before.deployment.generation

    async def complete(
        self,
        uid: str,
        request: TextRequest,
        *,
        request_id: str,
        siblings: Siblings | None = None,
        reserved: Attempt | None = None,
    ) -> Completion:
        """The whole answer; begun anew elsewhere when a replica dies or stops with it.

        Args:
            siblings: as of `open`.
            reserved: as of `open`.

        Raises:
            XinferError: as `open`, and `ReplicaLost` when no replica was left in time.
        """
        return await self._whole(uid, request, request_id, _collect, siblings, reserved)

    async def encode(self, uid: str, request: EncodeRequest, *, request_id: str) -> Encoding:
        """Vectors or scores of all texts; begun anew elsewhere as in `complete`.

        Raises:
            XinferError: as `complete`.
        """

        async def collect(attempt: Attempt, started: Started) -> Encoding:
            return await collect_rows(attempt, started, len(request.texts))

        return await self._whole(uid, request, request_id, collect)

    async def work(self, uid: str, request: WorkRequest, *, request_id: str) -> WorkStream:
        """What is made of a request as it comes, and how far it has come; begun anew elsewhere
        while nothing that was made has been given out, and never after.

        Raises:
            XinferError: as `open`.
        """
        self.table.require_ready(uid)
        losses = _Losses()

        async def restart(error: XinferError) -> tuple[Attempt, Started]:
            losses.add(error)
            return await self._start(uid, request, request_id, losses, error)

        attempt, started = await self._start(uid, request, request_id, losses)
        return WorkStream(attempt, started, restart)

    async def work_whole(
        self, uid: str, request: WorkRequest, make_keeper: Callable[[], K], *, request_id: str
    ) -> Work[K]:
        """All that is made of a request; begun anew elsewhere, with another keeper, as in
        `complete`.

        Raises:
            XinferError: as `complete`, or as the keeper does.
        """

        async def collect(attempt: Attempt, started: Started) -> Work[K]:
            return await keep_work(attempt, started, make_keeper())

        return await self._whole(uid, request, request_id, collect)

    async def spell(self, uid: str, ids: Sequence[int]) -> list[str]:
        """What tokens are called in the model's vocabulary.

        Raises:
            XinferError: no such model, none ready, a token that there is not, or `ReplicaLost`.
        """
        return await self._ask(uid, lambda link: link.spell(ids))

    async def tokenize(self, uid: str, request: TextRequest, *, bare: bool = False) -> list[int]:
        """The ids of the prompt that a request would begin with; it need not fit the context.

        Args:
            bare: leave out what a plain prompt begins with.

        Raises:
            XinferError: no such model, none ready, a request that is refused, or `ReplicaLost`.
        """
        answer = await self._ask(uid, lambda link: link.tokenize(request, bare=bare))
        return answer.ids

    async def count_tokens(self, uid: str, request: TextRequest) -> int:
        """How many tokens that prompt has.

        Raises:
            XinferError: as `tokenize`.
        """
        answer = await self._ask(uid, lambda link: link.tokenize(request, count_only=True))
        return answer.count

    async def detokenize(self, uid: str, ids: Sequence[int]) -> str:
        """The text of tokens.

        Raises:
            XinferError: no such model, none ready, a token that there is not, or `ReplicaLost`.
        """
        return await self._ask(uid, lambda link: link.detokenize(ids))

    async def _ask(self, uid: str, question: Callable[[ReplicaLink], Awaitable[T]]) -> T:
        """What the first replica that lives answers."""
        self.table.require_ready(uid)
        tried: set[str] = set()
        error: XinferError | None = None
        while (replica := self._choose(uid, tried)) is not None:
            tried.add(replica.replica_id)
            try:
                return await question(await self._link(replica))
            except ReplicaLost as lost:
                error = lost
        raise error or not_ready(self.table.status(uid))

    async def abort(self, uid: str, request_id: str) -> bool:
        """End a request by its public id, whichever API process it came by.

        Raises:
            NotFound: there is no such model.
        """
        replicas = self.table.reachable_replicas(uid)
        answers = await asyncio.gather(
            *(self._abort_on(replica, request_id) for replica in replicas)
        )
        return any(answers)

    async def _abort_on(self, replica: ReplicaStatus, request_id: str) -> bool:
        try:
            return await (await self._link(replica)).abort(request_id)
        except ReplicaLost:
            return False

    async def progress(self, request_id: str) -> float | None:
        """How much is done of a request that is worked on in steps, by its public id, whichever
        API process it came by; None where there is none."""
        replicas = self.table.working_replicas()
        answers = await asyncio.gather(*(self._follow(one, request_id) for one in replicas))
        return max((one for one in answers if one is not None), default=None)

    async def _follow(self, replica: ReplicaStatus, request_id: str) -> float | None:
        try:
            return await (await self._link(replica)).follow(request_id)
        except ReplicaLost:
            return None

    async def inspect(self, uid: str) -> dict[str, Inspected]:
        """Load and counters by replica id, of the replicas that answer.

        Raises:
            NotFound: there is no such model.
        """
        replicas = self.table.reachable_replicas(uid)
        answers = await asyncio.gather(*(self._inspect(replica) for replica in replicas))
        return {
            replica.replica_id: answer
            for replica, answer in zip(replicas, answers, strict=True)
            if answer is not None
        }

    async def _inspect(self, replica: ReplicaStatus) -> Inspected | None:
        try:
            return await (await self._link(replica)).inspect()
        except ReplicaLost:
            return None

    async def close(self) -> None:
        for link in list(self._links.values()):
            link.close()
        self._links.clear()

    async def _whole(
        self,
        uid: str,
        request: Request,
        request_id: str,
        collect: Callable[[Attempt, Started], Awaitable[T]],
        siblings: Siblings | None = None,
        reserved: Attempt | None = None,
    ) -> T:
        """What `collect` makes of the first attempt that ends well."""
        self.table.require_ready(uid)
        losses = _Losses()
        error: XinferError | None = None
        while True:
            attempt, started = await self._start(
                uid, request, request_id, losses, error, siblings=siblings, reserved=reserved
            )
            reserved = None
            try:
                return await collect(attempt, started)
            except XinferError as ended:
                if not ended.recoverable:
                    raise
                error = ended
            finally:
                attempt.cancel()
            losses.add(error)

    async def _start(
        self,
        uid: str,
        request: Request,
        request_id: str,
        losses: _Losses,
        error: XinferError | None = None,
        delivered: Sequence[int] = (),
        *,
        siblings: Siblings | None = None,
        reserved: Attempt | None = None,
    ) -> tuple[Attempt, Started]:
        """Have an engine take it, where it has a place or else anywhere.

        Args:
            error: why it has to be begun anew, or to go on elsewhere.
            delivered: tokens of the output that it goes on behind.
            siblings: as of `open`.
            reserved: as of `open`.
        """
        if reserved is not None:
            try:
                return reserved, await reserved.started()
            except XinferError as ended:
                if not ended.recoverable:
                    raise
                if isinstance(ended, ReplicaLost):
                    losses.add(ended)
                error = ended
        return await self._submit(
            uid, request, request_id, losses, Attempt.started, error, delivered, siblings=siblings
        )

    async def _submit(
        self,
        uid: str,
        request: Request,
        request_id: str,
        losses: _Losses,
        arrival: Callable[[Attempt], Awaitable[T]],
        error: XinferError | None = None,
        delivered: Sequence[int] = (),
        *,
        siblings: Siblings | None = None,
        held: bool = False,
    ) -> tuple[Attempt, T]:
        """Try each ready replica once; after a loss also wait for one to come back.

        Args:
            arrival: waits for what says that a replica has it, which is returned.
            error: as of `_start`, like what follows.
            held: as of `reserve`.
        """
        near = siblings.replica_id if siblings is not None else None
        on_computed = siblings.on_computed if siblings is not None and not held else None
        deadline = time.monotonic() + self._settings.resume_deadline
        tried: set[str] = set()
        reopened: set[str] = set()
        while True:
            replica = self._choose(uid, tried, near)
            if replica is None:
                if error is None:
                    raise not_ready(self.table.status(uid))
                if not isinstance(error, ReplicaLost):
                    raise error
                await self._wait_for_another(uid, tried, deadline, error)
                continue
            tried.add(replica.replica_id)
            try:
                link = await self._link(replica)
            except ReplicaLost as lost:
                error = lost
                continue
            attempt = await link.submit(request, request_id, delivered, on_computed, held=held)
            try:
                arrived = await arrival(attempt)
                if siblings is not None and not held:
                    siblings.begun(replica.replica_id)
                return attempt, arrived
            except XinferError as refusal:
                if not refusal.recoverable:
                    raise
                if isinstance(refusal, ReplicaLost):
                    if attempt.sent:
                        losses.add(refusal)
                    if replica.replica_id not in reopened:
                        # Its link has ended; it may live and answer on a new one.
                        reopened.add(replica.replica_id)
                        tried.discard(replica.replica_id)
                error = refusal
            except BaseException:
                attempt.cancel()
                raise

    def _choose(self, uid: str, tried: set[str], near: str | None = None) -> ReplicaStatus | None:
        """One that was not tried; `near` if it is idle enough to begin at once."""
        now = time.monotonic()
        untried = [r for r in self.table.ready_replicas(uid) if r.replica_id not in tried]
        healthy = [r for r in untried if self._aside.get(r.replica_id, 0.0) <= now]
        for replica in healthy:
            if replica.replica_id == near and self._begins_at_once(replica):
                return replica
        candidates = [_Choice(r, self._links.get(r.replica_id)) for r in healthy or untried]
        return self._policy.choose(candidates).replica if candidates else None

    def _begins_at_once(self, replica: ReplicaStatus) -> bool:
        """Whether its engine has room for one more request, as far as is known here."""
        link = self._links.get(replica.replica_id)
        held = link.held if link is not None else 0
        return replica.loaded is not None and held < replica.loaded.concurrency

    async def _wait_for_another(
        self, uid: str, tried: set[str], deadline: float, error: XinferError
    ) -> None:
        """Wait for a ready replica that was not tried; raise `error` when none comes in time."""

        def another(snapshot: Snapshot) -> bool | None:
            status = snapshot.deployments.get(uid)
            if status is None or status.state is DeploymentState.ERROR:
                return False
            fresh = any(
                replica.state is DeploymentState.READY and replica.replica_id not in tried
                for replica in status.replicas
            )
            return True if fresh else None

        try:
            left = max(0.0, deadline - time.monotonic())
            found = await self.table.wait_for(another, left)
        except asyncio.TimeoutError:
            raise error from None
        if not found:
            raise error

    async def _link(self, replica: ReplicaStatus) -> ReplicaLink:
        """The open link to a replica, connecting if need be; once, however many ask."""
        key = replica.replica_id
        lock = self._opening.setdefault(key, asyncio.Lock())
        async with lock:
            link = self._links.get(key)
            if link is not None and not link.closed:
                return link
            snapshot = self.table.snapshot
            assert snapshot is not None
            link = ReplicaLink(replica.address, self._settings, partial(self._set_aside, key))
            try:
                await link.open(snapshot.link_token)
            except ReplicaLost:
                self._set_aside(key)
                raise
            self._links[key] = link
            self._forget_gone(snapshot)
            return link

    def _set_aside(self, replica_id: str) -> None:
        self._aside[replica_id] = time.monotonic() + _SET_ASIDE

    def _forget_gone(self, snapshot: Snapshot) -> None:
        """Drop what is kept of replicas that are no more."""
        alive = {r.replica_id for d in snapshot.deployments.values() for r in d.replicas}
        for key in [k for k, link in self._links.items() if link.closed and k not in alive]:
            del self._links[key]
        for key in [k for k in self._opening if k not in alive and k not in self._links]:
            del self._opening[key]
        for key in [k for k in self._aside if k not in alive]:
            del self._aside[key]


class _Choice:
    """A replica as the policy sees it; one without a link yet counts as idle."""

    def __init__(self, replica: ReplicaStatus, link: ReplicaLink | None) -> None:
        self.replica = replica
        self.pressure = link.pressure if link is not None else 0.0


class _Losses:
    """How often one request had to be begun anew because what held it went away."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, error: XinferError) -> None:
        """Count one more; the last one that is borne raises `error`."""
        self._count += 1
        if self._count >= _MAX_LOSSES:
            raise error


def _resumable(status: DeploymentStatus, request: TextRequest) -> bool:
    """Whether the answer can go on elsewhere once some of it was delivered: by the ids of its
    tokens the same text comes again, but not their log-probabilities."""
    loaded = status.loaded
    return loaded is not None and loaded.abilities.resume and request.sampling.logprobs is None


async def _raise(error: XinferError, delivered: Sequence[int]) -> NoReturn:
    raise error


async def _collect(attempt: Attempt, started: Started) -> Completion:
    stream = ResponseStream(attempt, started, _raise, resumable=False)
    parts: list[str] = []
    logprobs: list[TokenLogprob] = []
    reasoning: list[str] = []
    calls: list[ToolCall] = []
    async for batch in stream:
        for event in batch:
            if isinstance(event, Delta):
                parts.append(event.text)
                if isinstance(event, LogprobDelta):
                    logprobs += event.logprobs
                if isinstance(event, MessageDelta):
                    reasoning.append(event.reasoning)
                    calls += event.calls
            elif isinstance(event, Finished):
                return Completion(
                    "".join(parts),
                    event.reason,
                    event.usage,
                    tuple(logprobs),
                    stream.waited,
                    "".join(reasoning),
                    tuple(calls),
                    event.stop,
                )
    raise AssertionError("a stream ended without its end")
