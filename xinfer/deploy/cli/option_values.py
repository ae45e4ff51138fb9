"""From the text of a command-line option to its value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import click

_INTEGER = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_WORDS = {"true": True, "false": False, "none": None}


def typed(text: str) -> Any:
    """The number, truth value, None, or list, object or string of JSON that `text` spells; else
    itself. So a text that looks like a number is given in quotes of JSON."""
    if text[:1] in ("[", "{", '"'):
        with suppress(json.JSONDecodeError):
            return json.loads(text)
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def typed_pairs(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    return {name: typed(value) for name, value in pairs}


def model_size(text: str) -> int | str:
    """A whole number, or the text that the catalogue uses: 1.8, 0_5."""
    return int(text) if _INTEGER.fullmatch(text) else text


def gpu_count(text: str) -> int | str | None:
    """A number, "auto", or None for `none` (`null`, as it is called over HTTP).

    Raises:
        click.BadParameter: it is none of these.
    """
    if text == "auto":
        return text
    if text.lower() in ("none", "null"):
        return None
    if _INTEGER.fullmatch(text):
        return int(text)
    raise click.BadParameter(f"{text!r} is not a number, 'auto' or 'none'")


def gpu_indexes(text: str) -> list[int]:
    """Numbers with commas between them.

    Raises:
        click.BadParameter: it is something else.
    """
    try:
        return [int(index) for index in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of numbers such as 0,1") from None


def labels(texts: Iterable[str]) -> dict[str, str]:
    """Labels in the form KEY=VALUE.

    Raises:
        click.BadParameter: one is something else.
    """
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise click.BadParameter(f"{text!r} is not of the form KEY=VALUE")
        found[key] = value
    return found
