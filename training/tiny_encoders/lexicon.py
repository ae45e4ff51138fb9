"""Words and sentence frames that the training texts are made of."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
LANGUAGES = ("en", "zh")
HELD_OUT_EVERY = 12
"""One thing in so many is in no training text; the score asks for these."""


class Meaning(NamedTuple):
    """One thing, action or state, and the words that say it."""

    kinds: tuple[str, ...]
    words: dict[str, tuple[str, ...]]
    """By language."""


class Lexicon(NamedTuple):
    things: list[Meaning]
    held_out: list[Meaning]
    """Things as well."""
    actions: dict[str, list[Meaning]]
    """By the kind of thing that they are done to."""
    states: dict[str, list[Meaning]]
    """By the kind of thing that is in them."""
    general: list[Meaning]


class Frames(NamedTuple):
    """By intent, language and kind (question, statement)."""

    trained: dict[tuple[str, str, str], list[str]]
    held_out: dict[tuple[str, str, str], str]
    fillers: dict[str, list[str]]


@cache
def lexicon() -> Lexicon:
    """The meanings of lexicon.md.

    Raises:
        ValueError: a line is not `kinds: words = words`; the message names it.
    """
    sections: dict[str, list[Meaning]] = defaultdict(list)
    for section, line in _lines("lexicon.md"):
        matched = re.fullmatch(r"([a-z ]+): (.+) = (.+)", line)
        if matched is None:
            raise ValueError(f"lexicon.md: expected 'kinds: words = words', not {line!r}")
        kinds, *said = matched.groups()
        words = {
            language: tuple(word.strip() for word in text.split(","))
            for language, text in zip(LANGUAGES, said, strict=True)
        }
        sections[section].append(Meaning(tuple(kinds.split()), words))
    things = sections["things"]
    held_out = things[HELD_OUT_EVERY // 2 :: HELD_OUT_EVERY]
    kept = [thing for thing in things if thing not in held_out]
    return Lexicon(
        kept,
        held_out,
        _by_kind(sections["actions"]),
        _by_kind(sections["states"]),
        sections["others"],
    )


@cache
def frames() -> Frames:
    """The sentence frames of frames.md; the last of each kind is held out."""
    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    fillers: dict[str, list[str]] = defaultdict(list)
    for section, line in _lines("frames.md"):
        key, _, text = line.partition(": ")
        if section == "fillers":
            fillers[key].append(text)
        elif section == "frames":
            intent, language, kind = key.split(".")
            found[intent, language, kind].append(text)
    return Frames(
        {key: texts[:-1] for key, texts in found.items()},
        {key: texts[-1] for key, texts in found.items()},
        fillers,
    )


@cache
def parts(kind: str) -> tuple[str, ...]:
    """Small words between others, syllables of made-up words, or endings of words."""
    lines = (line.partition(": ") for section, line in _lines("frames.md") if section == "parts")
    return tuple(part for key, _, text in lines if key == kind for part in text.split())


@cache
def plain_words() -> tuple[str, ...]:
    """Common words without synonyms here."""
    return tuple((HERE / "words.txt").read_text(encoding="utf-8").split())


def all_words(language: str) -> Iterator[str]:
    """Every word and frame there is, for the tokenizer."""
    meanings, sentences = lexicon(), frames()
    groups = [meanings.things, meanings.held_out, meanings.general]
    groups += [*meanings.actions.values(), *meanings.states.values()]
    for group in groups:
        for meaning in group:
            yield from meaning.words[language]
    for (_, of, _), texts in sentences.trained.items():
        if of == language:
            yield from texts
    yield from sentences.fillers[language]


def _by_kind(meanings: list[Meaning]) -> dict[str, list[Meaning]]:
    found: dict[str, list[Meaning]] = defaultdict(list)
    for meaning in meanings:
        for kind in meaning.kinds:
            found[kind].append(meaning)
    return dict(found)


def _lines(name: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in (HERE / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif section and line.strip():
            yield section, line.strip()
