"""The batcher's threads: results, failures, memory, and its end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest

from tests.support.encode_engine import BAD, BROKEN, CONTEXT, CRASH, NAN, LetterEngine, vector
from tests.support.waiting import eventually
from xinfer.errors import EngineFailed, InvalidRequest, Unavailable
from xinfer.model.batching import Job, MicroBatcher, Outcome
from xinfer.model.encode_engine import Encoded, Item
from xinfer.types.request import EncodeRequest


class Running:
    """A batcher at work, and what it tells."""

    def __init__(self, engine: LetterEngine) -> None:
        self.engine = engine
        self.loaded = engine.load(lambda _: None)
        self._told: queue.Queue[Outcome | BaseException] = queue.Queue()
        self.batcher = MicroBatcher(engine, self.loaded, self._take, self._told.put)

    def _take(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            self._told.put(outcome)

    def add(self, *texts: str, **more: object) -> Job:
        job = Job(EncodeRequest(texts=list(texts), **more), self.loaded)  # type: ignore[arg-type]
        self.batcher.add(job)
        return job

    def tokenized(self, texts: int) -> None:
        """Wait until so many texts are."""
        eventually(lambda: len(self.engine.tokenized) >= texts, 20, f"{texts} tokenized texts")

    def told(self) -> Outcome | BaseException:
        return self._told.get(timeout=20)

    def ended(self, *jobs: Job) -> dict[Job, list[list[float]] | BaseException]:
        """What each of the jobs came to."""
        rows: dict[Job, dict[int, list[float]]] = {job: {} for job in jobs}
        ends: dict[Job, list[list[float]] | BaseException] = {}
        while len(ends) < len(jobs):
            outcome = self.told()
            assert isinstance(outcome, Outcome), outcome
            if outcome.error is not None:
                ends[outcome.job] = outcome.error
                continue
            numbers = np.frombuffer(outcome.data, "<f4").reshape(len(outcome.places), -1)
            rows[outcome.job].update(zip(outcome.places, numbers.tolist(), strict=True))
            if outcome.finished:
                ends[outcome.job] = [row for _, row in sorted(rows[outcome.job].items())]
        return ends


@contextmanager
def running(engine: LetterEngine) -> Iterator[Running]:
    made = Running(engine)
    made.batcher.start()
    try:
        yield made
    finally:
        engine.close()
        made.batcher.close()


def vectors(*texts: str) -> list[list[float]]:
    return [vector([ord(c) for c in text]) for text in texts]


def test_each_request_gets_its_own_results_in_its_own_order() -> None:
    with running(LetterEngine()) as one:
        texts = ["b" * (n % 7 + 1) for n in range(50)]
        large, small = one.add(*texts), one.add("a")
        assert one.ended(large, small) == {large: vectors(*texts), small: vectors("a")}


def test_what_comes_while_the_device_computes_is_computed_together() -> None:
    with running(LetterEngine(gated=True)) as one:
        jobs = [one.add("first")]
        eventually(lambda: one.engine.begun)
        jobs += [one.add(letter) for letter in "abcd"]
        one.tokenized(5)  # all but the last one are ready then
        one.engine.release(1 << 10)
        one.ended(*jobs)
        assert set(one.engine.batches[1]) >= {"a", "b", "c"}


@pytest.mark.parametrize(
    ("text", "error"), [(BAD, InvalidRequest), (NAN, EngineFailed), (CRASH, EngineFailed)]
)
def test_one_bad_text_fails_its_own_request_only(text: str, error: type[Exception]) -> None:
    with running(LetterEngine(gated=True)) as one:
        first = one.add("first")
        bad, good = one.add("a", text, "b"), one.add("c")
        one.tokenized(5)
        one.engine.release(1 << 10)
        ends = one.ended(first, bad, good)
        assert isinstance(ends[bad], error)
        assert ends[good] == vectors("c")


class SlowTokenizer(LetterEngine):
    """Takes as long over a long text as the test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.long_begun = threading.Event()
        self.go_on = threading.Event()

    def tokenize(self, items: Sequence[Item]) -> list[Encoded]:
        if any(isinstance(item, str) and len(item) > 1 << 16 for item in items):
            self.long_begun.set()
            assert self.go_on.wait(60)
        return super().tokenize(items)


def test_nobody_waits_for_a_long_text_that_is_tokenized() -> None:
    engine = SlowTokenizer()
    with running(engine) as one:
        long = one.add("b" * (1 << 17))
        assert engine.long_begun.wait(20)
        others = [one.add(letter) for letter in "def"]
        assert one.ended(*others).keys() == set(others)
        engine.go_on.set()
        assert one.ended(long) == {long: vectors("b" * CONTEXT)}


def test_what_is_short_is_tokenized_beside_the_long_text_of_its_own_request() -> None:
    engine = SlowTokenizer()
    with running(engine) as one:
        job = one.add("b" * (1 << 17), "c")
        one.tokenized(1)
        assert engine.tokenized == ["c"]
        engine.go_on.set()
        assert one.ended(job) == {job: vectors("b" * CONTEXT, "c")}


def test_a_text_that_the_tokenizer_breaks_over_fails_its_own_request_only() -> None:
    with running(LetterEngine()) as one:
        bad, good = one.add("crash the tokenizer"), one.add("c")
        ends = one.ended(bad, good)
        assert isinstance(ends[bad], RuntimeError)
        assert ends[good] == vectors("c")


def test_a_batch_that_there_is_no_memory_for_is_computed_in_parts() -> None:
    with running(LetterEngine(memory=10)) as one:
        texts = ["abcde"] * 8
        job = one.add(*texts)
        assert one.ended(job) == {job: vectors(*texts)}
        assert max(map(len, one.engine.batches[-2:])) <= 2


def test_a_text_that_there_is_no_memory_for_fails_its_request() -> None:
    with running(LetterEngine(memory=3)) as one:
        job, other = one.add("abcde"), one.add("abc")
        ends = one.ended(job, other)
        assert isinstance(ends[job], Unavailable)
        assert ends[other] == vectors("abc")


@pytest.mark.parametrize(
    ("launched", "asked", "cut"),
    [(True, None, True), (True, False, False), (False, None, False), (False, True, True)],
)
def test_an_overlong_text_is_cut_as_the_request_says_and_else_as_the_model_was_launched(
    launched: bool, asked: bool | None, cut: bool
) -> None:
    with running(LetterEngine(truncate=launched)) as here:
        job = here.add("a" * 65, truncate=asked)
        end = here.ended(job)[job]
        assert isinstance(end, InvalidRequest) is not cut
        assert job.truncated == ([0] if cut else [])


def test_sparse_vectors_and_a_number_of_dimensions_do_not_go_together() -> None:
    loaded = LetterEngine(sparse=True, matryoshka=True).load(lambda _: None)
    with pytest.raises(InvalidRequest, match="a sparse vector has none"):
        Job(EncodeRequest(texts=["a"], sparse=True, dimensions=4), loaded)


def test_sparse_vectors_are_refused_where_the_model_makes_none() -> None:
    loaded = LetterEngine().load(lambda _: None)
    with pytest.raises(InvalidRequest, match="makes no sparse vectors") as refused:
        Job(EncodeRequest(texts=["a"], sparse=True), loaded)
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "return_sparse")


def test_vectors_are_shortened_and_normalised_again() -> None:
    with running(LetterEngine(matryoshka=True)) as one:
        job = one.add("ab", dimensions=2)
        rows = one.ended(job)[job]
        assert isinstance(rows, list)
        whole = np.array(vector([97, 98])[:2])
        np.testing.assert_allclose(rows[0], whole / np.linalg.norm(whole), rtol=1e-6)


@pytest.mark.parametrize("scores", [False, True])
def test_vectors_have_the_length_1_also_where_the_engine_does_not_see_to_it(scores: bool) -> None:
    with running(LetterEngine(normalised=False, scores=scores)) as one:
        asked, bare = one.add("ab"), one.add("ab", normalise=False)
        ends = one.ended(asked, bare)
        rows, as_made = ends[asked], ends[bare]
        assert isinstance(rows, list)
        assert isinstance(as_made, list)
        if scores:
            assert rows == as_made == [[97.0 + 98.0]]
            return
        whole = np.array(vector([97, 98]))
        np.testing.assert_allclose(rows[0], whole / np.linalg.norm(whole), rtol=1e-6)
        assert as_made[0] == vector([97, 98])


def test_vectors_that_the_engine_normalises_cannot_be_had_otherwise() -> None:
    with (
        running(LetterEngine()) as one,
        pytest.raises(InvalidRequest, match="vectors of length 1 and no others"),
    ):
        one.add("ab", normalise=False)


def test_an_engine_that_is_done_for_is_told_of_and_nothing_else() -> None:
    with running(LetterEngine()) as one:
        one.add(BROKEN)
        told = one.told()
        assert isinstance(told, EngineFailed)
        assert told.message == "The device is gone."


def test_nothing_is_told_of_a_request_that_was_dropped() -> None:
    with running(LetterEngine(gated=True)) as one:
        gone = one.add("gone")
        eventually(lambda: one.engine.begun)
        kept = one.add("kept")
        one.batcher.drop(gone)
        one.engine.release(1 << 10)
        assert one.ended(kept) == {kept: vectors("kept")}


def test_it_ends_while_a_batch_is_computed() -> None:
    with running(LetterEngine(gated=True)) as one:
        one.add("a")
        eventually(lambda: one.engine.begun)
