"""All models that can be launched by name: the built-in ones, and those that users registered."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from xinfer.errors import NotFound
from xinfer.model.catalog.entries import Entry, entries


class Catalogue:
    """Models by name, in any case. What it holds changes as a whole, so that threads may read it.

    Args:
        custom: entries that users registered; they come before built-in ones of the same name.
    """

    def __init__(self, custom: Iterable[Entry] = ()) -> None:
        self._custom = {entry.name.lower(): entry for entry in custom}

    def find(self, name: str) -> Entry:
        """The entry of this name.

        Raises:
            NotFound: there is none; the message offers the nearest names.
        """
        by_name = {entry.name.lower(): entry for entry in entries()} | self._custom
        entry = by_name.get(name.lower())
        if entry is not None:
            return entry
        near = difflib.get_close_matches(name.lower()[:100], by_name, n=3)
        hint = (
            f"Did you mean {' or '.join(by_name[one].name for one in near)}?"
            if near
            else (f"The catalogue has: {', '.join(one.name for one in by_name.values())}.")
        )
        raise NotFound(
            f"There is no model {name[:100]!r}. {hint} Expected a name of the catalogue, or the "
            "path of a .gguf file or of a directory that holds one.",
            code="model_not_found",
            param="model_name",
        )
