"""Chat templates: where they are, and what they tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.model_dirs import write_json
from xinfer.model.files import LocalFiles
from xinfer.model.inspect.json_files import Listing
from xinfer.model.inspect.template import chat_template, template_abilities


def find(directory: Path, tokenizer: dict[str, Any]) -> str:
    return chat_template(Listing(LocalFiles(directory)), tokenizer)


def test_a_file_of_its_own_comes_before_the_tokenizers(tmp_path: Path) -> None:
    tokenizer = {"chat_template": "third"}
    assert find(tmp_path, {}) == ""
    assert find(tmp_path, tokenizer) == "third"
    write_json(tmp_path / "chat_template.json", {"chat_template": "second"})
    assert find(tmp_path, tokenizer) == "second"
    (tmp_path / "chat_template.jinja").write_text("first")
    assert find(tmp_path, tokenizer) == "first"


def test_of_several_the_default_one(tmp_path: Path) -> None:
    named = [
        {"name": "tool_use", "template": "tools"},
        {"name": "default", "template": "plain"},
        {"name": 5},
        "x",
    ]
    assert find(tmp_path, {"chat_template": named}) == "plain"
    assert find(tmp_path, {"chat_template": named[:1]}) == "tools"
    assert find(tmp_path, {"chat_template": 7}) == ""


@pytest.mark.parametrize(
    ("template", "abilities"),
    [
        ("", []),
        ("{{ messages }}", ["chat"]),
        ("{% if tools %}{% endif %}", ["chat", "tools"]),
        ("{% if message.tool_calls %}", ["chat", "tools"]),
        ("a tool, and toolbox", ["chat"]),
        ("{{ '<think>\\n' }}", ["chat", "reasoning"]),
        ("{{ message.reasoning_content }}", ["chat", "reasoning"]),
        ("<think></think>{% if enable_thinking %}", ["chat", "reasoning", "hybrid"]),
        ("{% if not thinking %}</think>", ["chat", "reasoning", "hybrid"]),
        ("<|channel|>analysis", ["chat", "reasoning"]),
    ],
)
def test_abilities(template: str, abilities: list[str]) -> None:
    assert template_abilities(template) == abilities
