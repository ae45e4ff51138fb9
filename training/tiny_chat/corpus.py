"""The written corpus: Markdown sections of ``key: value | value`` lines."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

CORPUS = Path(__file__).parent / "corpus"


Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
Section = dict[str, list[list[str]]]  # key -> one list of values for each line with that key


@dataclass(frozen=True)
class Intent:
    """One thing a user may ask in one language, and the one answer to it."""

    id: str
    language: Language
    topic: str
    terms: tuple[str, ...]
    questions: tuple[str, ...]
    answer: str


def read_sections(name: str) -> dict[str, Section]:
    """The sections of the corpus file ``name``, in order.

    Raises:
        ValueError: a line is neither a heading nor a ``key: value`` line.
    """
    sections: dict[str, Section] = {}
    section: Section | None = None
    for number, line in enumerate((CORPUS / name).read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("## "):
            section = sections.setdefault(line[3:].strip(), defaultdict(list))
        elif section is not None and line.strip():
            key, colon, values = line.partition(":")
            if not colon:
                raise ValueError(f"{name}:{number}: expected 'key: value', found {line!r}")
            section[key].append([value.strip() for value in values.split(" | ")])
    return sections


def values(section: Section, key: str) -> list[str]:
    """All values of ``key``, those of several lines together; none when it is absent."""
    return [value for line in section.get(key, []) for value in line]


@cache
def intents() -> tuple[Intent, ...]:
    """Every intent of the question files, in both languages."""
    found = []
    for name in ("smalltalk.md", "xinfer.md", "serving.md"):
        for intent_id, section in read_sections(name).items():
            topics = values(section, "topic")
            for language, topic in zip(LANGUAGES, topics, strict=True):
                suffix = "" if language == "en" else ".zh"
                (answer,) = values(section, "a" + suffix)
                found.append(
                    Intent(
                        intent_id,
                        language,
                        topic,
                        tuple(values(section, "term" + suffix)),
                        tuple(values(section, "q" + suffix)),
                        answer,
                    )
                )
    return tuple(found)
