"""The suite notices a broken engine: tests of it, run on mutants, fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.conformance import (
    mutants,
    test_abort,
    test_adapters,
    test_company,
    test_constraint,
    test_greedy,
    test_logprobs,
    test_prefixes,
    test_resume,
    test_usage,
)
from tests.conformance.engines import ECHO, LLAMA_CPP_SHARED
from tests.conformance.models import Models
from tests.conformance.subject import Subject
from tests.support.token_engine import GREEDY
from xinfer.errors import EngineFailed

pytestmark = pytest.mark.anyio

Check = Callable[..., Awaitable[None]]


ECHOES: list[tuple[type[Any], Check, dict[str, Any]]] = [
    (mutants.EndsTwice, test_greedy.test_an_answer_repeats_itself, {}),
    (mutants.LosesATokenInCompany, test_company.test_long_and_short_prompts_together, {"slots": 5}),
    (mutants.MixesRows, test_company.test_long_and_short_prompts_together, {"slots": 5}),
    (mutants.NeverSaysAbort, test_abort.test_while_it_makes_tokens, {"tokens": 1}),
    (mutants.SaysStopForLength, test_company.test_long_and_short_prompts_together, {"slots": 1}),
    (
        mutants.MakesOneTooMany,
        test_usage.test_prompt_and_answer_fill_the_context_to_the_last_token,
        {"length": 128, "tokens": 128},
    ),
    (mutants.BeginsAgain, test_resume.test_greedy, {"sampling": GREEDY}),
    (mutants.KeepsWhatIsAborted, test_abort.test_twice_is_once, {}),
]

PATCHES: list[tuple[mutants.Patch, Check, dict[str, Any]]] = [
    (mutants.positions_ahead, test_greedy.test_an_answer_repeats_itself, {}),
    (mutants.reads_one_row_too_early, test_greedy.test_an_answer_repeats_itself, {}),
    (
        mutants.one_token_too_many_is_reused,
        test_prefixes.test_a_prompt_that_goes_on_otherwise_than_the_answer_did,
        {},
    ),
    (mutants.removes_nothing, test_prefixes.test_a_prompt_again, {"slots": 1}),
    (mutants.keeps_the_tail, test_prefixes.test_prompts_with_one_beginning, {"slots": 1}),
    (mutants.copies_another_slot, test_prefixes.test_prompts_with_two_beginnings, {}),
    (mutants.stale_settings, test_company.test_each_request_is_sampled_in_its_own_way, {}),
    (mutants.sampler_without_history, test_resume.test_greedy, {"sampling": test_resume.PENALISED}),
    (
        mutants.positions_from_where_it_resumed,
        test_resume.test_sampled_with_a_seed,
        {"sampling": test_resume.SAMPLED[0]},
    ),
    (mutants.one_seed_for_all_steps, test_company.test_samples_with_a_seed, {}),
    (
        mutants.rows_of_the_neighbour,
        test_company.test_long_and_short_prompts_together,
        {"slots": 5},
    ),
    (
        mutants.forgets_a_token_when_it_gives_way,
        test_company.test_a_cache_too_small_for_all_at_once,
        {"cells": 256},
    ),
    (
        mutants.keeps_the_slot_of_what_is_aborted,
        test_abort.test_while_it_makes_tokens,
        {"tokens": 2},
    ),
    (mutants.no_adapter_is_used, test_adapters.test_they_change_what_the_model_says, {}),
    (
        mutants.prefixes_of_another_adapter,
        test_adapters.test_what_was_computed_with_one_is_not_reused_with_another,
        {},
    ),
    (
        mutants.grammar_begins_again,
        test_constraint.test_it_holds_on_where_the_output_is_resumed,
        {"name": "list"},
    ),
    (
        mutants.logprobs_after_biases,
        test_logprobs.test_they_are_those_of_a_full_recompute,
        {"step": None},
    ),
    (mutants.says_all_was_cached, test_prefixes.test_prompts_with_one_beginning, {"slots": 2}),
]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutants that do not answer are not waited for as long."""
    monkeypatch.setattr("tests.support.token_engine.PATIENCE", 3.0)


@pytest.mark.parametrize(
    ("mutant", "check", "arguments"), ECHOES, ids=[mutant.__name__ for mutant, _, _ in ECHOES]
)
async def test_a_broken_echo_fails(
    mutant: type[Any], check: Check, arguments: dict[str, Any], models: Models
) -> None:
    with pytest.raises(AssertionError):
        await check(Subject(ECHO, models, mutant), **arguments)


@pytest.mark.parametrize(
    ("mutate", "check", "arguments"), PATCHES, ids=[patch.__name__ for patch, _, _ in PATCHES]
)
async def test_a_broken_llama_cpp_fails(
    mutate: mutants.Patch,
    check: Check,
    arguments: dict[str, Any],
    models: Models,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutate(monkeypatch)
    # llama.cpp itself notices some, and then the engine gives up.
    with pytest.raises((AssertionError, EngineFailed)):
        await check(Subject(LLAMA_CPP_SHARED, models), **arguments)
