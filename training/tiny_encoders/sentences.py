"""Endless random texts that say the same thing, and others that do not."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import NamedTuple

from training.tiny_encoders.lexicon import LANGUAGES, Meaning, frames, lexicon, parts, plain_words

FRAMED = 0.6  # the rest are bags of words
MADE_UP = 0.5  # of things: words that no lexicon has, which have to match by their letters
OTHER_LANGUAGE = 0.15


class Subject(NamedTuple):
    """What a text is about: the same subject in other words is a paraphrase."""

    intent: str
    thing: Meaning
    action: Meaning | None = None
    """For the intents do (an action) and is (a state)."""


class Bag(NamedTuple):
    """A text that is nothing but its words."""

    meanings: tuple[Meaning, ...]


@cache
def common_characters() -> tuple[str, ...]:
    """The 3755 Chinese characters of GB 2312's first level."""
    return tuple(
        bytes([0xA0 + row, 0xA0 + cell]).decode("gb2312")
        for row in range(16, 56)
        for cell in range(1, 95)
        if (row, cell) < (55, 90)
    )


def made_up(random: Random) -> Meaning:
    """A word that the lexicon does not have, the same in both languages."""
    chance = random.random()
    if chance < 0.3:
        word = "".join(random.choices(parts("syllables"), k=random.randint(2, 4)))
    elif chance < 0.7:
        word = random.choice(plain_words())
    else:
        word = "".join(random.choices(common_characters(), k=random.randint(1, 3)))
    kind = random.choice(lexicon().things).kinds
    return Meaning(kind, dict.fromkeys(LANGUAGES, (word,)))


def subject(random: Random, *, intent: str = "", thing: Meaning | None = None) -> Subject:
    """A random subject; `intent` and `thing` keep those of another one."""
    words = lexicon()
    if thing is None:
        thing = made_up(random) if random.random() < MADE_UP else random.choice(words.things)
    [kind] = thing.kinds
    intent = (
        intent or random.choices(("do", "is", "price", "what", "when"), weights=(4, 3, 1, 1, 1))[0]
    )
    if intent == "do":
        return Subject(intent, thing, random.choice(words.actions[kind]))
    if intent == "is":
        return Subject(intent, thing, random.choice(words.states[kind]))
    return Subject(intent, thing)


def other_subject(one: Subject, random: Random) -> Subject:
    """One that shares the thing or the intent, and is another nevertheless."""
    while True:
        kept = random.random() < 0.5
        other = subject(random, thing=one.thing) if kept else subject(random, intent=one.intent)
        if other != one:
            return other


def bag(random: Random) -> Bag:
    words = lexicon()
    found = [
        made_up(random)
        if random.random() < MADE_UP
        else random.choice(random.choice((words.things, words.general, words.general, _did())))
        for _ in range(random.randint(2, 6))
    ]
    return Bag(tuple(found))


def other_bag(one: Bag, random: Random) -> Bag:
    """One that shares some words."""
    shared = random.sample(one.meanings, len(one.meanings) // 2)
    return Bag((*shared, *bag(random).meanings))


@cache
def _did() -> tuple[Meaning, ...]:
    words = lexicon()
    return tuple(m for group in (words.actions, words.states) for ms in group.values() for m in ms)


def language(random: Random, weight_of_english: float = 0.65) -> str:
    return "en" if random.random() < weight_of_english else "zh"


def other_language(one: str, random: Random) -> str:
    """Mostly the same."""
    if random.random() >= OTHER_LANGUAGE:
        return one
    return LANGUAGES[1 - LANGUAGES.index(one)]


def say(
    about: Subject | Bag, language: str, random: Random, *, kind: str = "", held_out: bool = False
) -> str:
    """One text about it.

    Args:
        kind: question or statement; any by default.
        held_out: in the frame that is kept out of training.
    """
    if isinstance(about, Bag):
        return _say_bag(about, language, random)
    kind = kind or random.choice(("question", "statement"))
    key = (about.intent, language, kind)
    sentences = frames()
    frame = sentences.held_out[key] if held_out else random.choice(sentences.trained[key])
    return fill(frame, about, language, random)


def fill(frame: str, about: Subject, language: str, random: Random) -> str:
    """The frame with this subject's words in it."""
    thing = random.choice(about.thing.words[language])
    action = random.choice(about.action.words[language]) if about.action else ""
    if language == "zh":
        done = action.replace("…", thing) if "…" in action else action + thing
    else:
        article = random.choice(("a", "the", "my", "your", ""))
        done = " ".join(filter(None, (action, article, thing)))
    return frame.format(thing=thing, do=done, **{"is": action})


def document(about: Subject | Bag, language: str, random: Random) -> str:
    """A statement with, at times, a sentence beside it that says nothing."""
    sentences = [say(about, language, random, kind="statement")]
    fillers = frames().fillers[language]
    for _ in range(random.choice((0, 0, 0, 1))):
        sentences.insert(random.choice((0, len(sentences))), random.choice(fillers))
    return ("。" if language == "zh" else ". ").join(sentences)


def about(random: Random) -> Subject | Bag:
    return subject(random) if random.random() < FRAMED else bag(random)


def other(one: Subject | Bag, random: Random) -> Subject | Bag:
    return other_subject(one, random) if isinstance(one, Subject) else other_bag(one, random)


def _say_bag(about: Bag, language: str, random: Random) -> str:
    kept = [m for m in about.meanings if random.random() < 0.85] or list(about.meanings)
    random.shuffle(kept)
    words = [random.choice(m.words[language]).replace("…", "") for m in kept]
    if language == "zh":
        return "的".join(words) if random.random() < 0.3 else "".join(words)
    spread: list[str] = []
    for word in words:
        spread += random.choices(parts("small"), k=random.choice((0, 0, 1, 2)))
        spread.append(word)
    return " ".join(spread)
