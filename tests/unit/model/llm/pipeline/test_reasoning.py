from __future__ import annotations

import pytest

from xinfer.model.llm.pipeline.reasoning import ReasoningParser, Tags, find_tags

THINK = Tags("<think>", "</think>")

CASES = [
    ("<think>\n你好.\n\nYes.\n</think>\n\nHi  there\n", False, "你好.\n\nYes.", "Hi  there\n"),
    ("\n<think></think>\n\nHello", False, "", "Hello"),
    ("Hm.\n</think>\n\nHello", True, "Hm.", "Hello"),
    ("still < thinking </thi", True, "still < thinking </thi", ""),
    ("<think>cut short \n", False, "cut short", ""),
    ("<think>Hm.</think>  \n", False, "Hm.", ""),
    ("Plain <think>text</think>", False, "", "Plain <think>text</think>"),
    ("  <thi", False, "", "  <thi"),
    ("  <thin ice", False, "", "  <thin ice"),
    ("", False, "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("output", "opened", "reasoning", "text"), CASES)
def test_thoughts_are_told_apart_however_the_output_is_cut(
    output: str, opened: bool, reasoning: str, text: str
) -> None:
    cuts = [[output[:cut], output[cut:]] for cut in range(len(output) + 1)]
    for pieces in [*cuts, list(output)]:
        parser = ReasoningParser(THINK, opened=opened)
        made = [parser.feed(piece) for piece in pieces if piece] + [parser.finish()]
        assert "".join(one.reasoning for one in made) == reasoning
        assert "".join(one.text for one in made) == text
        assert parser.held == 0


def test_thoughts_are_told_as_they_come() -> None:
    parser = ReasoningParser(THINK, opened=True)
    assert parser.feed("One two").reasoning == "One two"
    assert parser.feed(" </").reasoning == ""
    assert parser.feed(" three").reasoning == " </ three"


@pytest.mark.parametrize(
    ("template", "tags"),
    [
        ("{{ content.split('</think>')[-1] }}", THINK),
        ("[THINK]", Tags("[THINK]", "[/THINK]")),
        ("<seed:think>", Tags("<seed:think>", "</seed:think>")),
        ("plain", None),
    ],
)
def test_the_tags_are_known_by_the_template(template: str, tags: Tags | None) -> None:
    assert find_tags(template) == tags
