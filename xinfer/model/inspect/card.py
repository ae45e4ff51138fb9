"""The metadata at the beginning of a model's README.md."""

from __future__ import annotations

import re

from xinfer.model.inspect.json_files import Listing

_MOST = 1 << 20
_LINE = re.compile(r"([A-Za-z_][\w-]*):\s*(.*)$")
_ITEM = re.compile(r"\s*-\s+(.*)$")

Card = dict[str, list[str]]


def read_card(files: Listing) -> Card:
    """Each key's value, or its values, as they are written; empty without metadata.

    Of YAML it understands strings and lists of strings at the outermost level, which is what is
    needed of cards; all else is passed over.
    """
    if "README.md" not in files:
        return {}
    text = files.read("README.md", 0, _MOST).decode("utf-8", "replace")
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---":
        return {}
    card: Card = {}
    values: list[str] = []
    for line in lines[1:]:
        if line.strip() == "---":
            return card
        key, item = _LINE.match(line), _ITEM.match(line)
        if key:
            values = card[key[1]] = _values(key[2])
        elif item:
            values.append(_bare(item[1]))
    return {}


def _values(text: str) -> list[str]:
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        return [_bare(one) for one in text[1:-1].split(",") if one.strip()]
    return [_bare(text)] if text else []


def _bare(text: str) -> str:
    text = text.strip()
    if text[:1] in ("'", '"'):
        return text[1:].split(text[0])[0]
    return text.split(" #")[0].strip()
