"""All models that can be launched by name: the built-in ones, and those that users registered."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import cache

from xinfer.errors import Conflict, NotFound
from xinfer.model.catalog.entries import entries
from xinfer.model.catalog.schema import TYPES, Entry

_SEPARATORS = re.compile(r"[-_.\s]+")


class Catalogue:
    """Models by name. What it holds is replaced as a whole, so that threads may read it.

    Args:
        custom: entries that users registered; they come before built-in ones of the same name.
    """

    def __init__(self, custom: Iterable[Entry] = ()) -> None:
        self._custom = {entry.name.lower(): entry for entry in custom}

    def find(self, name: str) -> Entry:
        """The entry of this name, in any case, and with any of `-`, `_` and `.` or none of them
        between the parts of a built-in one's.

        Raises:
            NotFound: there is none; the message offers the nearest names.
        """
        entry = self._custom.get(name.lower()) or find_builtin(name)
        if entry is None:
            raise self.unknown(name)
        return entry

    def custom(self, name: str) -> Entry | None:
        """What a user has registered by this name, in any case; None where that is nothing."""
        return self._custom.get(name.lower())

    def list(self, kind: str) -> list[Entry]:
        """The models of one type, by name."""
        own = [entry for entry in self._custom.values() if entry.type == kind]
        rest = [entry for entry in entries(kind) if entry.name.lower() not in self._custom]
        return sorted([*own, *rest], key=lambda entry: entry.name.lower())

    def add(self, entry: Entry, *, before_builtin: bool = False) -> None:
        """A user has registered a model.

        Args:
            before_builtin: it may take the name of a built-in one, which was not there when it was
                registered.

        Raises:
            Conflict: another model has its name.
        """
        other = self._custom.get(entry.name.lower())
        if other is None and not before_builtin:
            other = find_builtin(entry.name)
        if other is not None:
            whose = "comes with xinfer" if other.builtin else "is registered already"
            raise Conflict(
                f"A model {other.name} of type {other.type} {whose}. Choose another model_name"
                + ("." if other.builtin else ", or unregister that one first."),
                param="model_name",
            )
        self._custom = {**self._custom, entry.name.lower(): entry}

    def remove(self, entry: Entry) -> None:
        """Take a registered model away."""
        self._custom = {key: one for key, one in self._custom.items() if one is not entry}

    def registered(self, kind: str, name: str) -> Entry:
        """The registered model of this type and name, in any case.

        Raises:
            NotFound: there is none.
            Conflict: it is a built-in one.
        """
        entry = self._custom.get(name.lower())
        if entry is not None and entry.type == kind:
            return entry
        builtin = find_builtin(name)
        if entry is None and builtin is not None:
            raise Conflict(
                f"The model {builtin.name} comes with xinfer and stays.", param="model_name"
            )
        there = sorted(one.name for one in self._custom.values() if one.type == kind)
        raise NotFound(
            f"No model {name[:100]!r} of type {kind} is registered. "
            f"Registered: {', '.join(there) or 'none'}.",
            code="model_not_found",
            param="model_name",
        )

    def unknown(self, name: str) -> NotFound:
        """The error for a name that nothing has."""
        known = [one.name for kind in TYPES for one in self.list(kind)]
        return NotFound(
            f"There is no model {name[:100]!r}.{_hint(name[:100], known)} Expected a name of the "
            "catalogue (`xinference registrations` lists them), a repository as owner/name, or the "
            "path of a .gguf file or of a directory that holds a model.",
            code="model_not_found",
            param="model_name",
        )


def find_builtin(name: str) -> Entry | None:
    """The built-in model of this name, however it is spelt."""
    key = _key(name)
    return next((found for kind in TYPES if (found := _by_key(kind).get(key))), None)


@cache
def _by_key(kind: str) -> dict[str, Entry]:
    return {_key(entry.name): entry for entry in entries(kind)}


def _key(name: str) -> str:
    return _SEPARATORS.sub("", name.lower())


def _hint(name: str, known: list[str]) -> str:
    """What may have been meant: a model whose repository is called so, or names like it."""
    for kind in TYPES:
        for entry in entries(kind):
            for model in entry.models():
                for source in model.sources:
                    if _key(source.repo.rpartition("/")[2]) == _key(name):
                        return (
                            f" It is {source.repo} on {source.hub}, which can be launched by that "
                            f"name; the catalogue has it as {entry.name}."
                        )
    by_name = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), by_name, n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(by_name[one] for one in near)}?" if near else ""
