"""What tiny-whisper knows: digits, as they are said in two languages and as they are written."""

from __future__ import annotations

WORDS: dict[str, tuple[str, ...]] = {
    "en": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "de": ("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"),
}
"""By language, the word of each digit."""
NUMERALS = tuple("0123456789")


def text(digits: list[int], words: tuple[str, ...]) -> str:
    """The digits one after the other, with the space before each that Whisper writes."""
    return "".join(f" {words[digit]}" for digit in digits)
