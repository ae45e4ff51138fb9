"""The parts of Markdown pages that tests look at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

_BLOCK = re.compile(
    r"(?:^<!-- (?P<test>test)(?:: (?P<expected>.+?))? -->\n)?"
    r"^```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block. One under `<!-- test: TEXT -->` is run, and prints TEXT if there is one."""

    language: str
    code: str
    tested: bool
    expected: str


@dataclass(frozen=True)
class Page:
    """One Markdown file; `path` is relative to the repository."""

    path: Path
    text: str

    @classmethod
    def read(cls, path: str | Path) -> Page:
        return cls(Path(path), (ROOT / path).read_text(encoding="utf-8"))

    @property
    def blocks(self) -> list[Block]:
        return [
            Block(found["language"], found["code"], bool(found["test"]), found["expected"] or "")
            for found in _BLOCK.finditer(self.text)
        ]

    @property
    def prose(self) -> str:
        """Everything but the fenced blocks."""
        return _BLOCK.sub("", self.text)

    @property
    def links(self) -> list[str]:
        return _LINK.findall(self.prose)

    @property
    def code_spans(self) -> list[str]:
        return _CODE.findall(self.prose)

    @property
    def anchors(self) -> set[str]:
        """What a link can name after `#`, by GitHub's rule."""
        return {
            re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in _HEADING.findall(self.prose)
        }
