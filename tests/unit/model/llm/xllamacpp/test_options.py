"""Launch options of the engine."""

from __future__ import annotations

import pytest

from xinfer import system
from xinfer.errors import InvalidRequest
from xinfer.model.engine import parse_options
from xinfer.model.llm.xllamacpp.engine import XllamacppEngine
from xinfer.model.llm.xllamacpp.options import XllamacppOptions


def parse(**options: object) -> XllamacppOptions:
    parsed = parse_options(XllamacppEngine, "xllamacpp", options)
    assert isinstance(parsed, XllamacppOptions)
    return parsed


def test_values_may_come_as_text() -> None:
    assert parse(n_ctx="512", use_mmap="false") == XllamacppOptions(n_ctx=512, use_mmap=False)


def test_unknown_option_lists_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match="n_ctx, n_parallel, n_threads"):
        parse(n_contex=512)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_ctx", 0),
        ("n_parallel", 0),
        ("n_parallel", 257),
        ("n_threads", -1),
        ("n_batch", 1),
        ("n_gpu_layers", -2),
        ("flash_attn", "yes"),
        ("cache_type_k", "q2_k"),
        ("use_mlock", "perhaps"),
        ("repeat_last_n", -1),
    ],
)
def test_bad_values_name_the_option(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match=f"Option '{name}'") as raised:
        parse(**{name: value})
    assert raised.value.param == name


def test_threads_are_those_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "usable_cores", lambda: 3)
    assert XllamacppOptions().threads == 3
    monkeypatch.setattr(system, "usable_cores", lambda: 96)
    assert XllamacppOptions().threads == system.MOST_THREADS
    assert XllamacppOptions(n_threads=2).threads == 2
