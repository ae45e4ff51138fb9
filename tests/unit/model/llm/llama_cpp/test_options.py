"""Launch options: what is refused, and what they come to."""

from __future__ import annotations

from typing import Any

import pytest

from xinfer import system
from xinfer.errors import InvalidRequest
from xinfer.model.engine import parse_options
from xinfer.model.llm.llama_cpp.engine import LlamaCppEngine
from xinfer.model.llm.llama_cpp.options import LlamaCppOptions


def parse(**options: Any) -> LlamaCppOptions:
    parsed = parse_options(LlamaCppEngine, "llama-cpp-python", options)
    assert isinstance(parsed, LlamaCppOptions)
    return parsed


def test_words_of_the_command_line_are_taken() -> None:
    options = parse(n_ctx="2048", kv_unified="false", tensor_split=[1, 3], cache_type_k="q8_0")
    assert (options.n_ctx, options.kv_unified, options.cache_type_k) == (2048, False, "q8_0")
    assert options.tensor_split == (1.0, 3.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_parallel", 0),
        ("n_parallel", 257),
        ("n_batch", 8),
        ("cache_type_v", "q2_k"),
        ("split_mode", "diagonal"),
        ("tensor_split", [-1]),
        ("draft_model", "x"),
    ],
)
def test_values_that_make_no_sense_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse(**{name: value})
    assert raised.value.param == name


def test_threads_are_the_processors_but_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "usable_cores", lambda: 3)
    assert parse().threads == 3
    monkeypatch.setattr(system, "usable_cores", lambda: 96)
    assert parse().threads == 16
    assert parse(n_threads=5).threads == 5
