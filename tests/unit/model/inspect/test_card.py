"""The metadata of a model's card."""

from __future__ import annotations

from pathlib import Path

import pytest

from xinfer.model.files import LocalFiles
from xinfer.model.inspect.card import read_card
from xinfer.model.inspect.json_files import Listing


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("---\nlanguage: en\n---\n", ["en"]),
        ("---\nlicense: mit\nlanguage:\n- en\n- 'no'\n  - zh # Chinese\n---\n", ["en", "no", "zh"]),
        ('---\nlanguage: [en, "fr"]\ntags:\n- de\n---\n', ["en", "fr"]),
        ("---\nlanguage:\n---\n", []),
        ("---\r\nlanguage: en\r\n---\r\n", ["en"]),
        ("---\nlanguage: en\n", None),
        ("# language: en\n", None),
        ("", None),
    ],
)
def test_lists_and_words_under_a_key(tmp_path: Path, text: str, language: list[str] | None) -> None:
    (tmp_path / "README.md").write_text(text, newline="")
    assert read_card(Listing(LocalFiles(tmp_path))).get("language") == language


def test_no_card(tmp_path: Path) -> None:
    assert read_card(Listing(LocalFiles(tmp_path))) == {}
