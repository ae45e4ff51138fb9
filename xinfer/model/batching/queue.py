"""What is tokenized next, and what is computed together: the decisions, without threads.

Jobs take turns, a text each, so that a request of thousands holds up nobody's single one. Of one
job the longest texts come first; those of a batch are in order of their length.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from xinfer.errors import XinferError
from xinfer.model.batching.job import Job, Member
from xinfer.model.encode_engine import Encoded, Item, Result
from xinfer.types.model import EncodeAbilities

AHEAD = 4
"""Batches of one job that may be tokenized before they are computed."""
TEXTS_AT_ONCE = 64
CHARACTERS_AT_ONCE = 1 << 16
"""Of several texts that are tokenized in one turn. A text that has more is long."""
RECOVERY = 100
"""Batches after which more is tried again than there was memory for."""

Settled = tuple[Job, list[int], list[Result], "XinferError | None"]
"""A job, texts of it and their results, and why it has failed."""


class BatchQueue:
    """Jobs from `add` to their one end. For one thread at a time."""

    def __init__(self, abilities: EncodeAbilities) -> None:
        self._most_tokens = self._tokens = max(1, abilities.batch_tokens)
        self._most_items = self._items = max(1, abilities.batch_items)
        self._padded = abilities.padded
        self._since_lowered = 0
        self._untokenized: tuple[deque[Job], deque[Job]] = (deque(), deque())
        """Jobs of which a short text is the next, and those of which a long one is."""
        self._ready: deque[Job] = deque()
        self._ahead = AHEAD * self._most_items

    @property
    def limits(self) -> tuple[int, int]:
        """Tokens and items of a batch, as far as there is memory."""
        return self._tokens, self._items

    @property
    def untokenized(self) -> tuple[bool, bool]:
        """Whether there are jobs with a short text next, and with a long one."""
        short, long = self._untokenized
        return bool(short), bool(long)

    def add(self, job: Job) -> None:
        if job.tokenized < len(job):
            self._untokenized[job.next_characters > CHARACTERS_AT_ONCE].append(job)

    def drop(self, job: Job) -> None:
        """Nothing more is wanted of it: none of its texts is computed any more, and nothing comes
        of those that are."""
        job.end()

    def take_texts(self, *, long: bool = False) -> tuple[Job, int, list[Item | Encoded]] | None:
        """A job, the place of the first of its texts that should be tokenized now, and these;
        `add_tokens` has to follow. What came as tokens is as it has to be.

        Args:
            long: a text that takes so long that others should be tokenized meanwhile, instead of
                those.
        """
        jobs = self._untokenized[long]
        for _ in range(len(jobs)):
            job = jobs.popleft()
            if job.ended:
                continue
            if job.ready >= self._ahead:
                jobs.append(job)
                continue
            start, texts = job.next_texts(TEXTS_AT_ONCE, CHARACTERS_AT_ONCE)
            self.add(job)
            return job, start, texts
        return None

    def add_tokens(self, job: Job, start: int, encoded: Sequence[Encoded]) -> None:
        """The texts from `start` on have been tokenized.

        Raises:
            InvalidRequest: as `Job.add`; `drop` has to follow.
        """
        if job.ended:
            return
        had_some = job.ready > 0
        job.add(start, encoded)
        if not had_some and job.ready:
            self._ready.append(job)

    def take_batch(self) -> list[Member]:
        """What should be computed together now, the longest first; empty when nothing is ready."""
        batch: list[Member] = []
        longest = total = 0
        while self._ready and len(batch) < self._items:
            job = self._ready[0]
            if not job.ready:  # it has ended
                self._ready.popleft()
                continue
            size = len(job.peek().encoded)
            longest, total = max(longest, size), total + size
            cost = longest * (len(batch) + 1) if self._padded else total
            if batch and cost > self._tokens:
                break
            batch.append(job.pop())
            self._ready.popleft()
            if job.ready:
                self._ready.append(job)
        batch.sort(key=lambda member: -len(member.encoded))
        return batch

    def lower(self, batch: Sequence[Member]) -> None:
        """There was no memory for this batch: half of it from now on."""
        lengths = [len(member.encoded) for member in batch]
        cost = max(lengths) * len(batch) if self._padded else sum(lengths)
        self._tokens = max(1, min(self._tokens, cost) // 2)
        self._items = max(1, min(self._items, len(batch)) // 2)
        self._since_lowered = 0

    def settle(
        self, batch: Sequence[Member], results: Sequence[Result | XinferError]
    ) -> list[Settled]:
        """Give the results to their jobs: what is to be told of each job that is not over."""
        settled: dict[Job, tuple[list[int], list[Result]]] = {}
        failed: dict[Job, XinferError] = {}
        for member, result in zip(batch, results, strict=True):
            job = member.job
            if job.ended:
                continue
            if isinstance(result, XinferError):
                failed.setdefault(job, job.error_of(member.place, result))
                continue
            places, rows = settled.setdefault(job, ([], []))
            places.append(member.place)
            rows.append(result)
        told: list[Settled] = []
        for job in dict.fromkeys([*settled, *failed]):
            places, rows = settled.get(job, ([], []))
            job.left -= len(places)
            if job in failed:
                self.drop(job)
                told.append((job, [], [], failed[job]))
                continue
            if job.left == 0:
                job.end()
            told.append((job, places, rows, None))
        self._recover()
        return told

    def _recover(self) -> None:
        if (self._tokens, self._items) == (self._most_tokens, self._most_items):
            return
        self._since_lowered += 1
        if self._since_lowered >= RECOVERY:
            self._since_lowered = 0
            self._tokens = min(self._most_tokens, 2 * self._tokens)
            self._items = min(self._most_items, 2 * self._items)
