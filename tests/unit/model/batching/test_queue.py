"""What is computed together, and that each request gets its own: decisions, without threads."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.encode_engine import vector
from xinfer.errors import EngineFailed, InvalidRequest, XinferError
from xinfer.model.batching.job import Job, Member
from xinfer.model.batching.queue import AHEAD, RECOVERY, BatchQueue
from xinfer.model.encode_engine import EmbedResult, Encoded, Item, Result
from xinfer.types.model import Abilities, EncodeAbilities, Loaded
from xinfer.types.request import EncodeRequest

ABILITIES = EncodeAbilities(batch_tokens=32, batch_items=4, dimensions=8)


def loaded(abilities: EncodeAbilities = ABILITIES, context: int = 64) -> Loaded:
    return Loaded(context_length=context, concurrency=4, abilities=Abilities(encode=abilities))


def job(*texts: str | list[int], **more: object) -> Job:
    return Job(EncodeRequest(texts=list(texts), **more), loaded())  # type: ignore[arg-type]


def tokens_of(items: Sequence[Item | Encoded]) -> list[Encoded]:
    """A token is a letter."""
    encoded = []
    for item in items:
        if isinstance(item, Encoded):
            encoded.append(item)
        elif isinstance(item, str):
            encoded.append(Encoded([ord(c) for c in item], (0, len(item))))
        else:
            ids = [ord(c) for c in f"{item.query}|{item.document}"]
            encoded.append(Encoded(ids, (len(item.query) + 1, len(ids))))
    return encoded


def tokenize(queue: BatchQueue) -> list[tuple[Job, int]]:
    """All that may be tokenized now; from which place on, by job."""
    taken = []
    while texts := queue.take_texts() or queue.take_texts(long=True):
        one, start, items = texts
        queue.add_tokens(one, start, tokens_of(items))
        taken.append((one, start))
    return taken


def texts_of(batch: Sequence[Member]) -> list[str]:
    return ["".join(map(chr, member.encoded.ids)) for member in batch]


def results_of(batch: Sequence[Member]) -> list[Result]:
    return [EmbedResult(np.array(vector(m.encoded.ids), np.float32)) for m in batch]


def queue_of(*jobs: Job, abilities: EncodeAbilities = ABILITIES) -> BatchQueue:
    queue = BatchQueue(abilities)
    for one in jobs:
        queue.add(one)
    tokenize(queue)
    return queue


def test_a_batch_has_as_many_texts_and_tokens_as_the_engine_computes_at_once() -> None:
    queue = queue_of(job(*["a" * 10] * 5), job("b"))
    assert texts_of(queue.take_batch()) == ["a" * 10, "a" * 10, "a" * 10, "b"]
    assert texts_of(queue.take_batch()) == ["a" * 10] * 2
    assert queue.take_batch() == []


def test_a_text_over_the_budget_is_computed_alone() -> None:
    queue = queue_of(job("x" * 40), job("y"))
    assert texts_of(queue.take_batch()) == ["x" * 40]
    assert texts_of(queue.take_batch()) == ["y"]


def test_where_batches_are_padded_each_text_costs_as_much_as_the_longest() -> None:
    padded = EncodeAbilities(batch_tokens=32, batch_items=4, dimensions=8, padded=True)
    queue = queue_of(job("x" * 20), job("y"), job("z"), abilities=padded)
    assert texts_of(queue.take_batch()) == ["x" * 20]
    assert texts_of(queue.take_batch()) == ["y", "z"]


def test_a_large_request_goes_by_length_and_shares_each_batch_with_small_ones() -> None:
    large = job(*("l" * n for n in range(1, 9)))
    queue = queue_of(large, job("a"), job("b"))
    assert texts_of(queue.take_batch()) == ["l" * 8, "l" * 7, "a", "b"]
    queue.add(job("c"))
    tokenize(queue)
    assert texts_of(queue.take_batch()) == ["l" * 6, "l" * 5, "l" * 4, "c"]


def test_no_more_of_a_large_request_is_tokenized_than_is_soon_computed() -> None:
    large = job(*["l"] * 1000)
    queue = queue_of(large)
    assert large.ready <= AHEAD * ABILITIES.batch_items + 64
    small = job("s")
    queue.add(small)
    assert tokenize(queue) == [(small, 0)]


def test_short_texts_are_tokenized_while_a_long_one_is() -> None:
    queue = BatchQueue(ABILITIES)
    long = "b" * (1 << 16) + "b"
    large, small = job("a", long, "c", "d"), job("e")
    queue.add(large)
    queue.add(small)
    assert queue.take_texts(long=True) is None
    assert queue.take_texts() == (large, 0, ["a"])
    assert queue.untokenized == (True, True)
    assert queue.take_texts() == (small, 0, ["e"])
    assert queue.take_texts() is None
    assert queue.take_texts(long=True) == (large, 1, [long])
    assert queue.take_texts() == (large, 2, ["c", "d"])
    queue.add_tokens(large, 2, tokens_of(["c", "d"]))
    queue.add_tokens(large, 1, tokens_of([long]))
    assert [member.place for member in queue.take_batch()] == [1]
    assert sorted(member.place for member in queue.take_batch()) == [2, 3]
    assert queue.untokenized == (False, False)


def test_a_document_is_long_together_with_its_query() -> None:
    queue = BatchQueue(ABILITIES)
    half = "b" * (1 << 15) + "b"
    queue.add(job(half, queries=[half]))
    assert queue.untokenized == (False, True)


def test_texts_over_the_limit_are_cut_and_told_and_counted_as_cut() -> None:
    one = job("a" * 100, "b", "c" * 70, max_tokens=5)
    queue = queue_of(one)
    batch = queue.take_batch()
    assert texts_of(batch) == ["ccccc", "aaaaa", "b"]
    assert sorted(one.truncated) == [0, 2]
    assert one.usage.prompt_tokens == 11


def test_the_models_own_limit_holds_whatever_is_asked() -> None:
    one = job("a" * 100, max_tokens=90)
    queue_of(one)
    assert one.usage.prompt_tokens == 64


def test_a_text_that_must_not_be_cut_fails_its_request_with_the_limit() -> None:
    queue = BatchQueue(ABILITIES)
    queue.add(job("ok", "a" * 65, truncate=False))
    taken = queue.take_texts()
    assert taken is not None
    with pytest.raises(InvalidRequest, match="Text 1: it has 65 tokens or more; at") as caught:
        queue.add_tokens(taken[0], taken[1], tokens_of(taken[2]))
    assert caught.value.code == "context_length_exceeded"


def test_queries_go_with_all_documents_or_with_each_its_own() -> None:
    assert sorted(texts_of(queue_of(job("d", "e", queries=["q"])).take_batch())) == ["q|d", "q|e"]
    both = queue_of(job("d", "e", queries=["q", "r"])).take_batch()
    assert sorted(texts_of(both)) == ["q|d", "r|e"]
    with pytest.raises(InvalidRequest, match="2 queries do not go with 1 texts"):
        job("d", queries=["q", "r"])


def test_token_ids_are_used_as_they_are() -> None:
    assert texts_of(queue_of(job([97, 98], "c")).take_batch()) == ["ab", "c"]


def test_a_prompt_of_the_model_stands_before_the_texts() -> None:
    prompted = EncodeAbilities(batch_tokens=99, batch_items=4, prompts={"query": "find: "})
    one = Job(EncodeRequest(texts=["a"], prompt="query"), loaded(prompted))
    assert texts_of(queue_of(one).take_batch()) == ["find: a"]
    with pytest.raises(InvalidRequest, match="no prompt for the task 'other'"):
        Job(EncodeRequest(texts=["a"], prompt="other"), loaded(prompted))


@pytest.mark.parametrize(
    ("wanted", "matryoshka", "refusal"),
    [
        (8, False, None),
        (4, True, None),
        (4, False, "not trained"),
        (9, True, "9 are more than the 8"),
    ],
)
def test_dimensions_are_those_that_the_model_can_have(
    wanted: int, matryoshka: bool, refusal: str | None
) -> None:
    abilities = EncodeAbilities(batch_tokens=32, batch_items=4, dimensions=8, matryoshka=matryoshka)
    request = EncodeRequest(texts=["a"], dimensions=wanted)
    if refusal is None:
        assert Job(request, loaded(abilities)).dimensions == (4 if wanted == 4 else None)
        return
    with pytest.raises(InvalidRequest, match=refusal) as caught:
        Job(request, loaded(abilities))
    assert caught.value.param == "dimensions"


def test_a_failed_text_fails_its_request_and_no_other() -> None:
    bad, good = job("a", "b", "c"), job("d")
    queue = queue_of(bad, good)
    batch = queue.take_batch()
    results: list[Result | XinferError] = [*results_of(batch)]
    results[[m.job for m in batch].index(bad)] = EngineFailed("no number")
    told = queue.settle(batch, results)
    assert [(one, error is not None) for one, _, _, error in told] == [(good, False), (bad, True)]
    assert queue.take_batch() == []


def test_what_there_is_no_memory_for_is_not_tried_again_before_long() -> None:
    queue = queue_of(*(job("a" * 8) for _ in range(4)))
    queue.lower(queue.take_batch())
    assert queue.limits == (16, 2)
    for _ in range(RECOVERY):
        queue.settle([], [])
    assert queue.limits == (32, 4)


def test_of_a_request_that_nobody_wants_any_more_nothing_is_computed() -> None:
    gone, kept = job("a", "b"), job("c")
    queue = queue_of(gone, kept)
    queue.drop(gone)
    assert texts_of(queue.take_batch()) == ["c"]


@mock.patch("xinfer.model.batching.queue.CHARACTERS_AT_ONCE", 6)
@settings(max_examples=300)
@given(
    st.data(),
    st.lists(
        st.lists(st.text("abcdefghi\x01", min_size=1, max_size=9), min_size=1, max_size=12),
        min_size=1,
        max_size=8,
    ),
    st.booleans(),
)
def test_whatever_happens_each_request_is_answered_once_with_its_own(
    data: st.DataObject, requests: list[list[str]], padded: bool
) -> None:
    """Requests come, are tokenized, computed, cancelled, fail and run out of memory in any order.

    A text with \\x01 fails; one of more than 6 letters is long.
    """
    abilities = EncodeAbilities(batch_tokens=32, batch_items=4, dimensions=8, padded=padded)
    queue = BatchQueue(abilities)
    jobs = {Job(EncodeRequest(texts=texts), loaded()): texts for texts in requests}
    to_come = list(jobs)
    rows: dict[Job, dict[int, list[float]]] = {one: {} for one in jobs}
    ends: dict[Job, list[str]] = {one: [] for one in jobs}
    batches: list[list[Member]] = []
    tokenizing: list[tuple[Job, int, list[Item | Encoded]]] = []

    def act(action: str) -> None:
        if action == "come" and to_come:
            queue.add(to_come.pop())
        elif action.endswith(" texts") and (
            taken := queue.take_texts(long=action == "take long texts")
        ):
            tokenizing.append(taken)
        elif action == "tokenized" and tokenizing:
            one, start, items = tokenizing.pop(data.draw(st.integers(0, len(tokenizing) - 1)))
            queue.add_tokens(one, start, tokens_of(items))
        elif action == "take batch" and (batch := queue.take_batch()):
            assert len(batch) <= 4
            batches.append(batch)
        elif action == "no memory" and batches:
            queue.lower(batches[0])
        elif action == "settle" and batches:
            batch = batches.pop(0)
            results = [
                EngineFailed("bad") if 1 in member.encoded.ids else result
                for member, result in zip(batch, results_of(batch), strict=True)
            ]
            for one, places, made, error in queue.settle(batch, results):
                assert not ends[one], "told after its end"
                if error is not None:
                    ends[one].append("failed")
                    continue
                for place, result in zip(places, made, strict=True):
                    assert place not in rows[one]
                    assert isinstance(result, EmbedResult)
                    rows[one][place] = result.vector.tolist()
                if one.left == 0:
                    ends[one].append("finished")
        elif action == "cancel":
            running = [one for one in jobs if one not in to_come and not ends[one]]
            if running:
                one = data.draw(st.sampled_from(running))
                ends[one].append("cancelled")
                queue.drop(one)

    actions = [
        *["come", "take texts", "take long texts", "tokenized"] * 3,
        "take batch",
        "no memory",
        "settle",
        "cancel",
    ]
    for action in data.draw(st.lists(st.sampled_from(actions), max_size=60)):
        act(action)
    every = ["come", "take texts", "take long texts", "tokenized", "take batch", "settle"]
    for action in itertools.islice(itertools.cycle(every), 2000):
        act(action)

    for one, texts in jobs.items():
        assert len(ends[one]) == 1, "each ends once"
        if ends[one] == ["finished"]:
            assert rows[one] == {
                place: vector([ord(c) for c in text]) for place, text in enumerate(texts)
            }
            assert one.usage.prompt_tokens == sum(map(len, texts))
        elif ends[one] == ["failed"]:
            assert any("\x01" in text for text in texts)
        if any("\x01" in text for text in texts):
            assert ends[one] != ["finished"]
