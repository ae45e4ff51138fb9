"""Tables, line by line."""

from __future__ import annotations

from xinfer.deploy.cli.table import table


def test_numbers_stand_to_the_right_and_text_to_the_left() -> None:
    rows = [["qwen2.5-instruct", 7, "q4_0"], ["b", 14, None]]
    assert table(["UID", "Size", "Quantization"], rows).splitlines() == [
        "UID               Size  Quantization",
        "----------------  ----  ------------",
        "qwen2.5-instruct     7  q4_0",
        "b                   14",
    ]


def test_a_column_with_text_and_truth_values_are_text() -> None:
    assert table(["Size", "Known"], [[7, True], ["0_5", False]]).splitlines() == [
        "Size  Known",
        "----  -----",
        "7     True",
        "0_5   False",
    ]


def test_wide_characters_take_two_columns() -> None:
    assert table(["N", "X"], [["模型", "a"], ["abcd", "b"]]).splitlines() == [
        "N     X",
        "----  -",
        "模型  a",
        "abcd  b",
    ]


def test_lists_are_their_members() -> None:
    assert table(["A"], [[["chat", "tools"]]]).splitlines()[2] == "chat, tools"
