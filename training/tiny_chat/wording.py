"""Variation: the many ways people type the same thing, and words that nobody has typed before."""

from __future__ import annotations

import re
import string
from functools import cache
from random import Random

from training.tiny_chat.corpus import Language, intents, read_sections, values

DROPPABLE = {"a", "an", "the", "is", "are", "do", "does", "did", "i", "it", "to", "of", "in", "on"}
DROPPABLE |= {"my", "can", "for", "what", "how", "there", "be", "me", "you"}
ONSETS = [*"bcdfghjklmnprstvwz", "br", "dr", "fl", "gr", "kl", "pl"]
ONSETS += ["qu", "sh", "st", "th", "tr", "vr"]
VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "io", "ou", "y"]
SYLLABLES_SHARE = 0.35  # of the made-up English words
BLEND_SHARE = 0.5  # likewise
RARE_SHARE = 0.3  # of the made-up Chinese words: of any characters, mostly outside the vocabulary
MARKS = {"en": ("?", "?", "?", "?", ".", "!", "??"), "zh": ("？", "？", "？", "。", "！", "?")}
CODAS = ["", "", "", "n", "r", "l", "s", "x", "m", "nd", "rk", "th"]


@cache
def _phrasing() -> dict[str, dict[str, list[list[str]]]]:
    return read_sections("phrasing.md")


@cache
def _synonyms(language: Language) -> tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]:
    rules = []
    for line in _phrasing()["synonyms"][language]:
        word, _, others = line[0].partition(" = ")
        bounded = rf"\b{re.escape(word)}\b" if language == "en" else re.escape(word)
        rules.append((re.compile(bounded), tuple(others.split(", "))))
    return tuple(rules)


def phrases(kind: str, language: Language) -> list[str]:
    """The phrases of one section of ``phrasing.md``."""
    return values(_phrasing()[kind], language)


def made_up_word(random: Random, language: Language) -> str:
    """A word that means nothing: a few characters in Chinese, and in English one of three kinds.

    Syllables are easy to say. Blends, such as ``notable`` and ``newcastle``, begin like a common
    word and go on otherwise, as most real names do. Plain letters leave no token unused.
    """
    if language == "zh":
        if random.random() < RARE_SHARE:
            return "".join(
                chr(random.randrange(0x4E00, 0x9FA6)) for _ in range(random.randint(1, 3))
            )
        return "".join(random.choices(characters(), k=random.randint(2, 4)))
    chance = random.random()
    if chance < SYLLABLES_SHARE:
        return "".join(
            random.choice(ONSETS) + random.choice(VOWELS) + random.choice(CODAS)
            for _ in range(random.choice((1, 2, 2, 2, 3, 3)))
        )
    if chance < SYLLABLES_SHARE + BLEND_SHARE:
        start, end = random.choices(plain_words(), k=2)
        return start[: random.randint(1, len(start))] + end[random.randrange(len(end)) :]
    return "".join(random.choices(string.ascii_lowercase, k=random.randint(2, 8)))


def made_up_phrase(random: Random, language: Language) -> str:
    """A few words or characters in a row, as they are written or with made-up ones in between."""
    if language == "zh":
        if random.random() < 0.5:
            return _slice(random, random.choice(_running_texts("zh")), 10)
        return "".join(made_up_word(random, "zh") for _ in range(random.randint(1, 3)))
    words = _slice(random, random.choice(_running_texts("en")), 7).split()
    made_up = random.choice((0.0, 0.0, 0.3, 1.0))
    return " ".join(made_up_word(random, "en") if random.random() < made_up else w for w in words)


def _slice(random: Random, text: str, most: int) -> str:
    """Up to ``most`` words in a row of ``text``, or characters where it has no spaces."""
    space = " " if " " in text else ""
    parts = text.split() if space else list(text)
    start = random.randrange(len(parts))
    return space.join(parts[start : start + random.randint(1, most)])


@cache
def _running_texts(language: Language) -> tuple[str, ...]:
    """The corpus' answers and what it does not know, in letters only."""
    letters = r"\b[a-z]+\b" if language == "en" else r"[\u4e00-\u9fa5]+"
    texts = [intent.answer for intent in intents() if intent.language == language]
    for section in read_sections("offtopic.md").values():
        texts += values(section, language)
    space = " " if language == "en" else ""
    return tuple(filter(None, (space.join(re.findall(letters, text)) for text in texts)))


@cache
def plain_words() -> tuple[str, ...]:
    """The English words of the corpus' answers and of what it does not know."""
    return tuple(sorted({word for text in _running_texts("en") for word in text.split()}))


@cache
def characters() -> str:
    """The Chinese characters that made-up words are made of."""
    return "".join(values(read_sections("tools.md")["characters"], "zh"))


def vary(text: str, language: Language, random: Random) -> str:
    """The question or remark ``text`` as somebody else might type it."""
    for pattern, others in _synonyms(language):
        if random.random() < 0.3 and pattern.search(text):
            text = pattern.sub(random.choice(others), text, count=1)
    if random.random() < 0.12:
        text = _drop_word(text, language, random)
    if random.random() < 0.15:
        text = _add_word(text, language, random)
    if random.random() < 0.2:
        space = " " if language == "en" else ""
        text = random.choice(phrases("before", language)) + space + text
    if random.random() < 0.12:
        text = text.rstrip("?!.") + random.choice(phrases("after", language))
    if random.random() < 0.08:
        text = _mistype(text, random)
    return _punctuate(_recase(text, random), language, random)


def _drop_word(text: str, language: Language, random: Random) -> str:
    if language == "zh":
        at = random.randrange(len(text))
        return text[:at] + text[at + 1 :] if len(text) > 4 else text
    words = text.split()
    droppable = [i for i, word in enumerate(words) if word in DROPPABLE]
    if len(words) > 3 and droppable:
        del words[random.choice(droppable)]
    return " ".join(words)


def _add_word(text: str, language: Language, random: Random) -> str:
    """Put in a word that says nothing: a new word alone does not make a question a new one."""
    if language == "zh":
        at = random.randint(0, len(text))
        return text[:at] + made_up_word(random, "zh")[:2] + text[at:]
    words = text.split()
    plain = random.random() < 0.6
    new = random.choice(plain_words()) if plain else made_up_word(random, "en")
    words.insert(random.randint(0, len(words)), new)
    return " ".join(words)


def _mistype(text: str, random: Random) -> str:
    if len(text) < 5:
        return text
    at = random.randrange(1, len(text) - 1)
    swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return random.choice((swapped, text[:at] + text[at + 1 :], text[:at] + text[at] + text[at:]))


def _recase(text: str, random: Random) -> str:
    chance = random.random()
    if chance < 0.45:
        return text
    if chance < 0.93:
        return text[:1].upper() + re.sub(r"\bi\b", "I", text[1:])
    return text.lower() if chance < 0.97 else text.upper()


def _punctuate(text: str, language: Language, random: Random) -> str:
    if random.random() < 0.4:
        return text
    return text.rstrip("?!.？！。") + random.choice(MARKS[language])
