"""Engines that are broken on purpose, each in one way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from xinfer.model.engine import TokenEvent, TokenRequest
from xinfer.model.llama_cpp.context import Batch
from xinfer.model.llm.constraint.matcher import Matcher
from xinfer.model.llm.echo import EchoEngine
from xinfer.model.llm.llama_cpp import computer
from xinfer.model.llm.llama_cpp.computer import LlamaComputer
from xinfer.model.llm.llama_cpp.context import LlamaContext
from xinfer.model.llm.llama_cpp.sampler import Sampler
from xinfer.model.llm.scheduling import scheduler
from xinfer.model.llm.scheduling.scheduler import Scheduler, Sequence

Patch = Callable[[pytest.MonkeyPatch], None]


class _MutantEcho(EchoEngine):
    async def steps(self) -> AsyncIterator[list[TokenEvent]]:
        async for events in super().steps():
            if changed := self.change(events):
                yield changed

    def change(self, events: list[TokenEvent]) -> list[TokenEvent]:
        return events


class EndsTwice(_MutantEcho):
    def change(self, events: list[TokenEvent]) -> list[TokenEvent]:
        return [*events, *(event for event in events if event.finish)]


class LosesATokenInCompany(_MutantEcho):
    def change(self, events: list[TokenEvent]) -> list[TokenEvent]:
        return (
            events if len(events) < 3 else [msgspec.structs.replace(events[0], ids=[]), *events[1:]]
        )


class MixesRows(_MutantEcho):
    def change(self, events: list[TokenEvent]) -> list[TokenEvent]:
        ids = [event.ids for event in events]
        if len({len(one) for one in ids}) > 1:
            return events
        return [
            msgspec.structs.replace(event, ids=other)
            for event, other in zip(events, ids[1:] + ids[:1], strict=True)
        ]


class NeverSaysAbort(_MutantEcho):
    def change(self, events: list[TokenEvent]) -> list[TokenEvent]:
        return [event for event in events if event.finish != "abort"]


class SaysStopForLength(_MutantEcho):
    def change(self, events: list[TokenEvent]) -> list[TokenEvent]:
        return [
            msgspec.structs.replace(event, finish="stop") if event.finish == "length" else event
            for event in events
        ]


class MakesOneTooMany(_MutantEcho):
    def submit(self, request: TokenRequest) -> None:
        super().submit(msgspec.structs.replace(request, max_tokens=request.max_tokens + 1))


class BeginsAgain(_MutantEcho):
    def submit(self, request: TokenRequest) -> None:
        super().submit(msgspec.structs.replace(request, resume=[]))


class KeepsWhatIsAborted(_MutantEcho):
    def abort(self, request_id: int) -> None:
        if request_id in self._running:
            self._aborted.append(request_id)
            self._wake.set()


def positions_ahead(patch: pytest.MonkeyPatch) -> None:
    """Each new token stands one place further on in the text than it does."""
    add = Batch.add
    patch.setattr(
        Batch,
        "add",
        lambda self, slot, start, tokens: add(self, slot, start + (len(tokens) == 1), tokens),
    )


def reads_one_row_too_early(patch: pytest.MonkeyPatch) -> None:
    """The first token is chosen by what follows the prompt's last but one."""
    mark = Batch.mark
    patch.setattr(Batch, "mark", lambda self, row: mark(self, max(row - 1, 0)))


def one_token_too_many_is_reused(patch: pytest.MonkeyPatch) -> None:
    common = scheduler.common_prefix
    patch.setattr(
        scheduler,
        "common_prefix",
        lambda one, other: min(common(one, other) + 1, len(one), len(other)),
    )


def removes_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LlamaContext, "remove", lambda self, slot, start: True)


def keeps_the_tail(patch: pytest.MonkeyPatch) -> None:
    """What is behind a reused prefix is not removed; only whole sequences are."""
    remove = LlamaContext.remove
    patch.setattr(
        LlamaContext,
        "remove",
        lambda self, slot, start: remove(self, slot, 0) if start == 0 else True,
    )


def copies_another_slot(patch: pytest.MonkeyPatch) -> None:
    copy = LlamaContext.copy
    patch.setattr(
        LlamaContext,
        "copy",
        lambda self, source, target: copy(self, source ^ 1, target),
    )


def stale_settings(patch: pytest.MonkeyPatch) -> None:
    """Every request is sampled as the one before it asked."""
    make = LlamaComputer._sampler
    before: list[Sequence] = []

    def stale(self: LlamaComputer, sequence: Sequence) -> Sampler:
        asked = sequence.request
        if before:
            sampling = before[-1].request.sampling
            sequence.request = msgspec.structs.replace(asked, sampling=sampling)
        made = make(self, sequence)
        sequence.request = asked
        before.append(sequence)
        return made

    patch.setattr(LlamaComputer, "_sampler", stale)


def sampler_without_history(patch: pytest.MonkeyPatch) -> None:
    """Penalties do not know of what was resumed."""
    make = LlamaComputer._sampler

    def forgetful(self: LlamaComputer, sequence: Sequence) -> Sampler:
        whole = sequence.tokens
        sequence.tokens = whole[: len(whole) - len(sequence.request.resume)]
        made = make(self, sequence)
        sequence.tokens = whole
        return made

    patch.setattr(LlamaComputer, "_sampler", forgetful)


def positions_from_where_it_resumed(patch: pytest.MonkeyPatch) -> None:
    """The seed of a token is that of its place in this process."""
    sample = Sampler.sample

    def counted(self: Sampler, row: Any, position: int) -> int:
        self.made = getattr(self, "made", -1) + 1  # type: ignore[attr-defined]
        return sample(self, row, self.made)

    patch.setattr(Sampler, "sample", counted)


def one_seed_for_all_steps(patch: pytest.MonkeyPatch) -> None:
    """The randomness of a token is that of the step: of who else was there before."""
    sample = Sampler.sample
    steps = iter(range(1 << 30))
    patch.setattr(Sampler, "sample", lambda self, row, position: sample(self, row, next(steps)))


def rows_of_the_neighbour(patch: pytest.MonkeyPatch) -> None:
    logits = LlamaContext.logits
    patch.setattr(LlamaContext, "logits", lambda self, rows: logits(self, rows)[::-1])


def forgets_a_token_when_it_gives_way(patch: pytest.MonkeyPatch) -> None:
    give_up = Scheduler._give_up

    def forgetful(self: Scheduler, sequence: Sequence) -> None:
        give_up(self, sequence)
        del sequence.tokens[len(sequence.request.prompt) - 1]

    patch.setattr(Scheduler, "_give_up", forgetful)


def keeps_the_slot_of_what_is_aborted(patch: pytest.MonkeyPatch) -> None:
    finish = Scheduler.finish

    def kept(self: Scheduler, sequence: Sequence) -> None:
        if not sequence.cancelled:
            finish(self, sequence)

    patch.setattr(Scheduler, "finish", kept)


def no_adapter_is_used(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LlamaContext, "use_adapter", lambda self, adapter: None)


def prefixes_of_another_adapter(patch: pytest.MonkeyPatch) -> None:
    find = Scheduler._best_prefix

    def any_adapter(self: Scheduler, sequence: Sequence) -> Any:
        for slot in self._slots:
            slot.adapter = sequence.request.adapter
        return find(self, sequence)

    patch.setattr(Scheduler, "_best_prefix", any_adapter)


def grammar_begins_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Matcher, "replay", lambda self, output: None)


def logprobs_after_biases(patch: pytest.MonkeyPatch) -> None:
    """As if a request's own biases were the model's opinion."""
    tell = computer.log_probability

    def biased(row: Any, token: int, most: int) -> Any:
        row = row.copy()
        row[token] += 1.0
        return tell(row, token, most)

    patch.setattr(computer, "log_probability", biased)


def says_all_was_cached(patch: pytest.MonkeyPatch) -> None:
    enter = Scheduler._enter

    def boasting(self: Scheduler, sequence: Sequence, *args: Any) -> None:
        enter(self, sequence, *args)
        sequence.cached = len(sequence.request.prompt)

    patch.setattr(Scheduler, "_enter", boasting)
