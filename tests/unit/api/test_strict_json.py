"""The bounds that are checked before a body is parsed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinfer.api.strict_json import parse
from xinfer.errors import InvalidRequest, PayloadTooLarge

_TEXT = st.text(alphabet=st.sampled_from('ab[]{},"\\:中\n'), max_size=8)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def _commas(value: Any) -> int:
    if isinstance(value, dict):
        return max(0, len(value) - 1) + sum(map(_commas, value.values()))
    if isinstance(value, list):
        return max(0, len(value) - 1) + sum(map(_commas, value))
    return 0


def _texts(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_texts, value.values()))
    if isinstance(value, list):
        return sum(map(_texts, value))
    return int(isinstance(value, str))


@given(_VALUES, st.integers(1, 6), st.booleans())
def test_depth_is_exact_whatever_the_strings_hold(value: Any, limit: int, ascii: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii).encode()
    if _depth(value) <= limit:
        assert parse(body, max_depth=limit, max_values=10**6, max_texts=10**6) == value
    else:
        with pytest.raises(InvalidRequest):
            parse(body, max_depth=limit, max_values=10**6, max_texts=10**6)


@given(_VALUES, st.integers(1, 10))
def test_values_are_counted_outside_strings_only(value: Any, limit: int) -> None:
    body = json.dumps(value).encode()
    if _commas(value) < limit:
        assert parse(body, max_depth=64, max_values=limit, max_texts=10**6) == value
    else:
        with pytest.raises(PayloadTooLarge):
            parse(body, max_depth=64, max_values=limit, max_texts=10**6)


@given(_VALUES, st.integers(1, 10))
def test_texts_are_counted_whatever_they_hold(value: Any, limit: int) -> None:
    body = json.dumps(value).encode()
    if _texts(value) <= limit:
        assert parse(body, max_depth=64, max_values=10**6, max_texts=limit) == value
    else:
        with pytest.raises(PayloadTooLarge):
            parse(body, max_depth=64, max_values=10**6, max_texts=limit)


@given(st.binary(max_size=40) | _TEXT.map(str.encode))
def test_any_bytes_parse_or_are_refused_in_words(body: bytes) -> None:
    try:
        value = parse(body, max_depth=8, max_values=100, max_texts=10**6)
    except (InvalidRequest, PayloadTooLarge):
        return
    assert value == json.loads(body)


def test_a_key_given_twice_is_named() -> None:
    with pytest.raises(InvalidRequest, match="'model' comes twice"):
        parse(b'{"model":1,"model":2}', max_depth=8, max_values=100, max_texts=10**6)
