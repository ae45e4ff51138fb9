"""What every encode engine promises, on a small model of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.conformance.encode.engines import CASES, EncodeCase, Subject, numbers, opened
from tests.support.gguf_encoders import WORDS
from xinfer.errors import Cancelled, InvalidRequest
from xinfer.model.batching import Job, MicroBatcher, Outcome
from xinfer.model.encode_engine import Encoded, SpellingEngine
from xinfer.types.request import EncodeRequest

TEXTS = [" ".join(WORDS[(n + k) % len(WORDS)] for k in range(n % 23 + 1)) for n in range(40)]
TOLERANCE = 2e-4
"""Sums are taken in another order in another batch."""

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.id)
def subject(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Subject]:
    case: EncodeCase = request.param
    with opened(case, case.write(tmp_path_factory.mktemp("model"))) as made:
        yield made


def test_results_are_the_same_whatever_else_is_computed(subject: Subject) -> None:
    encoded = subject.tokenized(*TEXTS)
    alone = np.stack([numbers(subject.engine.encode([one])[0]) for one in encoded])
    assert np.ptp(alone, axis=0).max() > 100 * TOLERANCE, "texts are told apart"
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(encoded))
        found = subject.engine.encode([encoded[index] for index in order])
        for index, result in zip(order, found, strict=True):
            np.testing.assert_allclose(numbers(result), alone[index], atol=TOLERANCE)


def test_what_cannot_be_computed_fails_alone_and_in_its_place(subject: Subject) -> None:
    [good] = subject.tokenized("the cat")
    too_long = Encoded(good.ids * subject.loaded.context_length, (0, 1))
    bad = [Encoded([], (0, 0)), too_long, Encoded([1 << 30], (0, 1)), Encoded([-1], (0, 1))]
    expected = numbers(subject.engine.encode([good])[0])
    for one in bad:
        before, error, after = subject.engine.encode([good, one, good])
        assert isinstance(error, InvalidRequest)
        np.testing.assert_allclose(numbers(before), expected, atol=TOLERANCE)
        np.testing.assert_allclose(numbers(after), expected, atol=TOLERANCE)
    [error] = subject.engine.encode([too_long])
    assert isinstance(error, InvalidRequest)
    assert error.code == "context_length_exceeded"


def test_tokens_are_those_of_the_whole_text_and_the_text_can_be_cut(subject: Subject) -> None:
    most = subject.loaded.context_length
    [long, short] = subject.tokenized("the cat " * most, "the cat")
    assert len(long) > 2 * most
    start, end = long.cut
    assert end - start == 2 * most
    cut = long.shortened(most)
    assert len(cut) == most
    assert cut.ids[:start] == short.ids[: short.cut[0]], "what comes before is kept"
    assert cut.ids[cut.cut[1] :] == short.ids[short.cut[1] :], "and what comes behind"
    assert np.isfinite(numbers(subject.engine.encode([cut])[0])).all()


def test_a_text_that_is_far_too_long_is_not_tokenized_whole(subject: Subject) -> None:
    most = subject.loaded.context_length
    times = 100 * most + 10_000
    [far_too_long, too_long] = subject.tokenized("the cat " * times, "the cat " * most)
    assert most < len(far_too_long) < times
    assert far_too_long.shortened(most) == too_long.shortened(most)


def test_results_are_of_the_size_that_is_declared(subject: Subject) -> None:
    abilities = subject.abilities
    [row] = map(numbers, subject.engine.encode(subject.tokenized("the cat")))
    assert row.dtype == np.float32
    assert row.shape == (abilities.dimensions or abilities.scores,)
    assert bool(abilities.dimensions) is (subject.case.kind == "embedding")
    if abilities.normalised:
        assert np.linalg.norm(row) == pytest.approx(1, abs=1e-4)


def test_items_of_another_kind_are_refused(subject: Subject) -> None:
    other = next(case for case in CASES if case.kind != subject.case.kind)
    with pytest.raises(InvalidRequest):
        subject.engine.tokenize([other.item("the cat")])
    assert len(subject.tokenized("the cat")) == 1


def test_tokens_are_called_by_their_names(subject: Subject) -> None:
    assert isinstance(subject.engine, SpellingEngine)
    [item] = subject.tokenized("the cat")
    names = subject.engine.spell(item.ids)
    assert names[0] == "[CLS]"
    assert [name.strip("▁") for name in names[item.cut[0] : item.cut[1]]] == ["the", "cat"]
    with pytest.raises(InvalidRequest):
        subject.engine.spell([1 << 30])


def test_it_tokenizes_on_two_threads_while_it_computes(subject: Subject) -> None:
    """All of them get what each would alone."""
    expected = subject.tokenized(*TEXTS)
    results = [numbers(one) for one in subject.engine.encode(expected)]
    stop = threading.Event()

    def tokenize() -> None:
        while not stop.is_set():
            found = subject.tokenized(*TEXTS)
            assert [one.ids for one in found] == [one.ids for one in expected]

    with ThreadPoolExecutor(2) as threads:
        tokenizing = [threads.submit(tokenize) for _ in range(2)]
        try:
            for _ in range(3):
                for one, result in zip(subject.engine.encode(expected), results, strict=True):
                    np.testing.assert_allclose(numbers(one), result, atol=TOLERANCE)
        finally:
            stop.set()
        for one_thread in tokenizing:
            one_thread.result()


def test_the_batcher_counts_each_requests_own_tokens(subject: Subject) -> None:
    ended: dict[Job, Outcome] = {}
    done = threading.Event()

    def take(outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            assert outcome.error is None, outcome.error
            if outcome.finished:
                ended[outcome.job] = outcome
        if len(ended) == 3:
            done.set()

    queries = [] if subject.case.kind == "embedding" else ["where is the cat"]
    batcher = MicroBatcher(subject.engine, subject.loaded, take, lambda _: done.set())
    batcher.start()
    lists = [TEXTS[:1], TEXTS, ["the cat " * subject.loaded.context_length]]
    jobs = [Job(EncodeRequest(texts=texts, queries=queries), subject.loaded) for texts in lists]
    for job in jobs:
        batcher.add(job)
    try:
        assert done.wait(60)
    finally:
        batcher.close()
    assert set(ended) == set(jobs)
    for texts, job in zip(lists[:2], jobs, strict=False):
        assert job.usage.prompt_tokens == sum(map(len, subject.tokenized(*texts)))
    assert jobs[2].usage.prompt_tokens == subject.loaded.context_length
    assert jobs[2].truncated == [0]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_closing_ends_what_is_computed(
    case: EncodeCase, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ended: list[BaseException] = []
    with opened(case, case.write(tmp_path_factory.mktemp("model"))) as subject:
        encoded = subject.tokenized(*TEXTS) * 5
        begun = threading.Event()

        def compute() -> None:
            try:
                while True:
                    begun.set()
                    subject.engine.encode(encoded)
            except BaseException as error:
                ended.append(error)

        thread = threading.Thread(target=compute)
        thread.start()
        begun.wait()
        subject.engine.close()
        thread.join(20)
        assert not thread.is_alive()
        assert isinstance(ended[0], Cancelled)
        with pytest.raises(Cancelled):
            subject.engine.encode(encoded[:1])
        subject.engine.close()
