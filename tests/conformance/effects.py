"""What each sampling field does to an answer, seen from outside.

Fields that cut the distribution are held against the true one, token by token, at temperature 1,
where all orders of the cuts are the same.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.conformance.subject import Subject
from tests.support.recompute import Array, log_softmax
from tests.support.token_engine import Driver
from xinfer.types.request import Sampling

Mask = NDArray[np.bool_]

NEAR = 1e-2
"""Logits so near to where a cut falls may be on either side of it."""


@dataclass(frozen=True)
class Effect:
    """One field.

    Attributes:
        value: one that asks for something.
        seen: a check that the field is honoured.
        beside: other fields without which it asks for nothing.
    """

    value: Any
    seen: Callable[[Driver, Subject], Awaitable[None]]
    beside: dict[str, Any] = field(default_factory=dict)


async def ids_of(driver: Driver, prompt: list[int], count: int = 40, **fields: Any) -> list[int]:
    return (await driver.ask(prompt, count, Sampling(**fields))).ids


async def temperature(driver: Driver, subject: Subject) -> None:
    for work in subject.works([5, 40]):
        assert await ids_of(driver, work.prompt, work.max_tokens, temperature=0.0) == (
            work.expected.ids
        )
        hot = [await ids_of(driver, work.prompt, 16, temperature=1.0) for _ in range(2)]
        assert work.expected.ids not in hot
    if "temperature" in subject.case.most:
        return
    # So hot that all tokens are alike: hardly one comes twice.
    flat = await ids_of(driver, [5], 100, temperature=100.0, ignore_eos=True)
    assert len(set(flat)) > 80


async def seed(driver: Driver, subject: Subject) -> None:
    (prompt,) = subject.prompts([10])
    seeds = (0, 1, 2**31, 2**40, -1)
    one = [await ids_of(driver, prompt, temperature=1.0, seed=seed) for seed in seeds]
    two = [await ids_of(driver, prompt, temperature=1.0, seed=seed) for seed in seeds]
    assert one == two
    assert len(set(map(tuple, one))) == len(seeds)
    unseeded = [await ids_of(driver, prompt, temperature=1.0) for _ in range(3)]
    assert len(set(map(tuple, unseeded))) == 3


def _within(
    allowed: Callable[[Array], Mask], **fields: Any
) -> Callable[[Driver, Subject], Awaitable[None]]:
    """Each token is among those that the true logits allow; without the field it is not so."""

    async def seen(driver: Driver, subject: Subject) -> None:
        assert await _outside(driver, subject, allowed, {}) > 0
        assert await _outside(driver, subject, allowed, fields) == 0

    return seen


async def _outside(
    driver: Driver, subject: Subject, allowed: Callable[[Array], Mask], fields: dict[str, Any]
) -> int:
    """How many tokens of some sampled answers are not among the allowed ones."""
    reference = subject.reference()
    outside = 0
    prompts = subject.prompts([3, 8, 20, 40])
    answers = await asyncio.gather(
        *(
            ids_of(driver, prompt, 20, temperature=1.0, seed=number, **fields)
            for number, prompt in enumerate(prompts)
        )
    )
    for prompt, ids in zip(prompts, answers, strict=True):
        for position, token in enumerate(ids):
            mask = allowed(reference.logits([*prompt, *ids[:position]]))
            outside += not mask[token]
    return outside


def top_k(k: int) -> Callable[[Array], Mask]:
    return lambda logits: logits >= np.sort(logits)[-k] - NEAR


def top_p(p: float) -> Callable[[Array], Mask]:
    def allowed(logits: Array) -> Mask:
        order = np.argsort(-logits)
        mass = np.cumsum(np.exp(log_softmax(logits))[order])
        last = logits[order[np.searchsorted(mass, p + NEAR)]]
        return logits >= last - NEAR

    return allowed


def min_p(share: float) -> Callable[[Array], Mask]:
    return lambda logits: logits >= logits.max() + np.log(share) - NEAR


def typical_p(p: float) -> Callable[[Array], Mask]:
    def allowed(logits: Array) -> Mask:
        logs = log_softmax(logits)
        probabilities = np.exp(logs)
        oddness = np.abs(-logs + (probabilities * logs).sum())
        order = np.argsort(oddness)
        mass = np.cumsum(probabilities[order])
        return oddness <= oddness[order[np.searchsorted(mass, p + NEAR)]] + NEAR

    return allowed


def top_n_sigma(n: float) -> Callable[[Array], Mask]:
    return lambda logits: logits >= logits.max() - n * logits.std() - NEAR


def xtc(threshold: float) -> Callable[[Array], Mask]:
    """The best are left out, but for the least of them."""

    def allowed(logits: Array) -> Mask:
        probabilities = np.exp(log_softmax(logits))
        best = probabilities[probabilities >= threshold * (1 + NEAR)]
        least = best.min() if len(best) else 1.0
        return probabilities <= least * (1 + NEAR)

    return allowed


def _penalised(**fields: float) -> Callable[[Driver, Subject], Awaitable[None]]:
    """Each greedy token is the best one after the penalties, worked out from their definition."""

    async def seen(driver: Driver, subject: Subject) -> None:
        reference = subject.reference()
        presence, frequency = (
            fields.get(f"{name}_penalty", 0.0) for name in ("presence", "frequency")
        )
        (prompt,) = subject.prompts([5])
        plain = {"temperature": 0.0, "logit_bias": dict.fromkeys(LOOP, 30.0)}
        ids = await ids_of(driver, prompt, **plain, **fields)
        assert ids != await ids_of(driver, prompt, **plain)
        for position, token in enumerate(ids):
            scores = reference.logits([*prompt, *ids[:position]])
            scores[LOOP] += 30.0
            for seen_before, count in Counter(ids[:position]).items():
                scores[seen_before] -= presence + count * frequency
            assert scores[token] >= scores.max() - NEAR, f"token {position} of {ids}"

    return seen


async def repetition_penalty(driver: Driver, subject: Subject) -> None:
    """It divides what is above zero: 50 becomes less than the others have."""
    (prompt,) = subject.prompts([5])
    pushed = {"temperature": 0.0, "logit_bias": {300: 50.0}}
    assert await ids_of(driver, prompt, **pushed) == [300] * 40
    assert (await ids_of(driver, prompt, **pushed, repetition_penalty=50.0)).count(300) == 1


async def repeat_last_n(driver: Driver, subject: Subject) -> None:
    (prompt,) = subject.prompts([5])
    pushed = {"temperature": 0.0, "logit_bias": {300: 50.0}, "presence_penalty": 100.0}
    assert await ids_of(driver, prompt, **pushed, repeat_last_n=0) == [300] * 40
    assert (await ids_of(driver, prompt, 100, **pushed, repeat_last_n=-1)).count(300) == 1
    ids = await ids_of(driver, prompt, **pushed, repeat_last_n=9)
    assert [position for position, token in enumerate(ids) if token == 300] == [0, 10, 20, 30]


async def logit_bias(driver: Driver, subject: Subject) -> None:
    (work,) = subject.works([12])
    first = work.expected.ids[0]
    forbidden = await ids_of(driver, work.prompt, temperature=0.0, logit_bias={first: -100.0})
    assert first not in forbidden
    forced = await ids_of(driver, work.prompt, temperature=1.0, logit_bias={300: 100.0})
    assert forced == [300] * 40
    two = {300: 100.0, 301: 100.0}
    assert set(await ids_of(driver, work.prompt, temperature=2.0, seed=1, logit_bias=two)) == set(
        two
    )


async def ignore_eos(driver: Driver, subject: Subject) -> None:
    (prompt,) = subject.prompts([5])
    ends = dict.fromkeys(driver.engine.tokenizer.eos_ids, 100.0)
    sampling = Sampling(temperature=0.0, logit_bias=ends)
    assert (await driver.ask(prompt, 40, sampling)).finish == "stop"
    sampling = Sampling(temperature=0.0, logit_bias=ends, ignore_eos=True)
    got = await driver.ask(prompt, 40, sampling)
    assert (len(got.ids), got.finish) == (40, "length")


async def mirostat(driver: Driver, subject: Subject) -> None:
    """With a tiny target of surprise it is greedy; the versions differ from each other."""
    for work in subject.works([5, 40]):
        ids = await ids_of(
            driver, work.prompt, 16, temperature=1.0, seed=1, mirostat=2, mirostat_tau=0.001
        )
        assert ids == work.expected.ids
    (prompt,) = subject.prompts([5])
    sampling = {"temperature": 1.0, "seed": 1, "mirostat_tau": 4.0}
    versions = [await ids_of(driver, prompt, **sampling, mirostat=n) for n in (0, 1, 2)]
    assert len(set(map(tuple, versions))) == 3


def _differs(field: str, values: Sequence[Any], **fields: Any) -> Any:
    """Each value of a field makes another answer of the same seed."""

    async def seen(driver: Driver, subject: Subject) -> None:
        (prompt,) = subject.prompts([5])
        sampling = {"temperature": 1.0, "seed": 1, **fields}
        answers = [
            await ids_of(driver, prompt, 80, **sampling, **{field: value}) for value in values
        ]
        assert len(set(map(tuple, answers))) == len(values), field

    return seen


LOOP = [400, 500, 600, 700]
"""Tokens that biases make likelier than all others."""


def _dry(
    multiplier: float = 5.0,
    base: float = 1.75,
    allowed_length: int = 2,
    penalty_last_n: int = -1,
    breaker: int | None = None,
) -> Callable[[Driver, Subject], Awaitable[None]]:
    """Each greedy token is the best one after DRY's penalties, worked out from their definition.

    Args:
        breaker: a token whose text is the only sequence breaker.
    """

    async def seen(driver: Driver, subject: Subject) -> None:
        reference = subject.reference()
        bias = dict.fromkeys(LOOP, 30.0)
        prompt = LOOP * 3 + LOOP[:2] * 2
        plain = {"temperature": 0.0, "logit_bias": bias}
        fields: dict[str, Any] = {
            "dry_multiplier": multiplier,
            "dry_base": base,
            "dry_allowed_length": allowed_length,
            "dry_penalty_last_n": penalty_last_n,
        }
        if breaker is not None:
            text = driver.engine.tokenizer.piece(breaker).decode()
            fields["dry_sequence_breakers"] = (text,)
        ids = await ids_of(driver, prompt, 60, **plain, **fields)
        assert ids != await ids_of(driver, prompt, 60, **plain)
        for position, token in enumerate(ids):
            history = [*prompt, *ids[:position]]
            scores = reference.logits(history)
            scores[LOOP] += 30.0
            window = history if penalty_last_n < 0 else history[-penalty_last_n:]
            for repeated, length in repeats(window, breaker).items():
                if length >= allowed_length:
                    scores[repeated] -= multiplier * base ** (length - allowed_length)
            assert scores[token] >= scores.max() - NEAR, f"token {position} of {ids}"

    return seen


def repeats(history: Sequence[int], breaker: int | None) -> dict[int, int]:
    """For each token that followed an earlier stretch like the end of `history`: the length of
    the longest such stretch. A stretch contains no breaker, which is never such a token either."""
    longest: dict[int, int] = {}
    for end, token in enumerate(history):
        length = 0
        while (
            length < end
            and history[end - 1 - length] == history[-1 - length]
            and history[-1 - length] != breaker
        ):
            length += 1
        if token != breaker:
            longest[token] = max(length, longest.get(token, 0))
    return longest


XTC = {"xtc_probability": 1.0}
MIROSTAT = {"mirostat": 2}
DRY = {"dry_multiplier": 1.0}

EFFECTS: dict[str, Effect] = {
    "temperature": Effect(0.7, temperature),
    "top_p": Effect(0.4, _within(top_p(0.4), top_p=0.4)),
    "top_k": Effect(3, _within(top_k(3), top_k=3)),
    "min_p": Effect(0.3, _within(min_p(0.3), min_p=0.3)),
    "presence_penalty": Effect(1.5, _penalised(presence_penalty=2.0)),
    "frequency_penalty": Effect(1.5, _penalised(frequency_penalty=2.0)),
    "repetition_penalty": Effect(1.2, repetition_penalty),
    "seed": Effect(3, seed),
    "logit_bias": Effect({5: -100.0}, logit_bias),
    "ignore_eos": Effect(True, ignore_eos),
    "typical_p": Effect(0.3, _within(typical_p(0.3), typical_p=0.3)),
    "top_n_sigma": Effect(1.0, _within(top_n_sigma(1.0), top_n_sigma=1.0)),
    "xtc_probability": Effect(1.0, _within(xtc(0.1), **XTC, xtc_threshold=0.1)),
    "xtc_threshold": Effect(0.02, _within(xtc(0.02), **XTC, xtc_threshold=0.02), XTC),
    "mirostat": Effect(2, mirostat),
    "mirostat_tau": Effect(3.0, _differs("mirostat_tau", [1.0, 3.0, 8.0], **MIROSTAT), MIROSTAT),
    "mirostat_eta": Effect(0.2, _differs("mirostat_eta", [0.05, 0.5], **MIROSTAT), MIROSTAT),
    "dry_multiplier": Effect(1.0, _dry(multiplier=1.0)),
    "dry_base": Effect(2.0, _dry(base=3.0), DRY),
    "dry_allowed_length": Effect(3, _dry(allowed_length=4), DRY),
    "dry_penalty_last_n": Effect(32, _dry(penalty_last_n=12), DRY),
    "dry_sequence_breakers": Effect(("x",), _dry(breaker=LOOP[1]), DRY),
    "repeat_last_n": Effect(32, repeat_last_n),
}
