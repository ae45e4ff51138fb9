"""From words of the command line to values."""

from __future__ import annotations

import click
import pytest

from xinfer.deploy.cli.option_values import (
    gpu_count,
    gpu_indexes,
    model_size,
    typed,
    typed_pairs,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2048", 2048),
        ("-1", -1),
        ("0.9", 0.9),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("true", True),
        ("False", False),
        ("None", None),
        ("q4_0", "q4_0"),
        ("0_5", "0_5"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("1.2.3", "1.2.3"),
        ("[1, 2.5]", [1, 2.5]),
        ('{"a": "/b"}', {"a": "/b"}),
        ('"8"', "8"),
        ("[not json", "[not json"),
        ('"', '"'),
        ("", ""),
    ],
)
def test_text_takes_the_type_it_spells(text: str, value: object) -> None:
    assert typed(text) == value
    assert type(typed(text)) is type(value)


def test_pairs_are_typed() -> None:
    assert typed_pairs([("load_in_4bit", "True"), ("kind", "nf4")]) == {
        "load_in_4bit": True,
        "kind": "nf4",
    }


@pytest.mark.parametrize(("text", "size"), [("7", 7), ("0_5", "0_5"), ("1.8", "1.8")])
def test_sizes(text: str, size: int | str) -> None:
    assert model_size(text) == size


@pytest.mark.parametrize(
    ("text", "count"), [("2", 2), ("auto", "auto"), ("none", None), ("null", None)]
)
def test_gpu_counts(text: str, count: int | str | None) -> None:
    assert gpu_count(text) == count


@pytest.mark.parametrize("text", ["many", "1.5", "true"])
def test_other_gpu_counts_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a number, 'auto' or 'none'"):
        gpu_count(text)


def test_gpu_indexes() -> None:
    assert gpu_indexes("0,2") == [0, 2]
    with pytest.raises(click.BadParameter, match="such as 0,1"):
        gpu_indexes("0;2")
