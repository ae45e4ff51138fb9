"""What is said about measured values."""

from __future__ import annotations

import pytest

from benchmarks.report import Figure, Row, as_builtins, ratios, table


def test_the_median_counts_against_the_goal_and_not_an_outlier() -> None:
    assert Row("x", "µs", [9.0, 10.0, 400.0], goal=10.0).met is True
    assert Row("x", "µs", [1.0, 10.1, 10.2], goal=10.0).met is False


def test_a_goal_can_be_the_least_that_is_wanted() -> None:
    assert Row("x", "×", [0.97, 0.99, 0.1], goal=0.97, at_least=True).met is True
    assert Row("x", "×", [0.96], goal=0.97, at_least=True).met is False


def test_a_row_without_a_goal_is_neither_met_nor_missed() -> None:
    assert Row("x", "µs", [1.0]).met is None


def test_ratios_pair_what_was_measured_in_the_same_repeat() -> None:
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]


def test_arms_that_were_not_repeated_alike_have_no_ratio() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


def test_the_table_tells_median_spread_goal_and_verdict() -> None:
    figure = Figure(
        "R0",
        "Something",
        [
            Row("slow", "µs", [12.0, 1234.0, 10.0], goal=4.0),
            Row("fast", "ms", [0.51234]),
            Row("much", "×", [0.5], goal=0.95, at_least=True),
        ],
    )
    head, _, slow, fast, much = table(figure).splitlines()
    assert head == "R0  Something"
    assert slow.split() == ["slow", "12", "µs", "10", "1,234", "≤", "4", "missed"]
    assert much.split()[-3:] == ["≥", "0.95", "missed"]
    assert fast.split() == ["fast", "0.512", "ms", "0.512", "0.512"]


def test_the_file_keeps_every_value_and_the_machine() -> None:
    figure = Figure("R0", "Something", [Row("x", "µs", [3.0, 1.0, 2.0], goal=2.0)])
    written = as_builtins(figure, {"cores": 2})
    assert written["figure"] == "R0"
    assert written["machine"] == {"cores": 2}
    assert written["rows"] == [
        {
            "what": "x",
            "unit": "µs",
            "median": 2.0,
            "goal": 2.0,
            "at_least": False,
            "met": True,
            "values": [3.0, 1.0, 2.0],
        }
    ]
