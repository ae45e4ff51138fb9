"""The files of one model, wherever they are: what inspection reads from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Protocol

import msgspec

from xinfer.errors import InvalidRequest, NotFound


class ModelFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file of a model."""

    name: str
    """Path below the model's directory, with `/` between its parts."""
    size: int
    """Bytes."""
    sha256: str = ""
    """Hexadecimal; empty where the place does not tell it."""
    git_id: str = ""
    """Git's id of the content (SHA-1, hexadecimal), where the place tells that instead."""


class ModelFiles(Protocol):
    """A directory, or a repository on a hub of which nothing has been downloaded."""

    @property
    def where(self) -> str:
        """For messages: the path, or hub and repository."""
        ...

    def list(self) -> tuple[ModelFile, ...]:
        """All files, in the order of their names.

        Raises:
            NotFound, Unavailable, Forbidden, InvalidRequest: they cannot be listed.
        """
        ...

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        """`size` bytes of a file from `start`, fewer at its end; all of them without `size`.

        Raises:
            NotFound: there is no such file; and what `list` raises.
        """
        ...


MOST_FILES = 20_000
"""Below a directory that can be a model's."""


class LocalFiles:
    """The files below a directory of this machine. Links are followed, hidden files left out."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.where = str(directory)

    def list(self) -> tuple[ModelFile, ...]:
        files = list(islice(self._walk(), MOST_FILES + 1))
        if len(files) > MOST_FILES:
            raise InvalidRequest(
                f"{self.where} holds more than {MOST_FILES} files, and so is no model's directory. "
                "Give the directory of one model."
            )
        return tuple(sorted(files, key=lambda file: file.name))

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        try:
            with open(self.directory / name, "rb") as file:
                file.seek(start)
                return file.read(-1 if size is None else size)
        except FileNotFoundError:
            raise NotFound(f"{self.where} has no file {name}.") from None

    def _walk(self) -> Iterator[ModelFile]:
        for parent, directories, names in os.walk(self.directory):
            directories[:] = [one for one in directories if not one.startswith(".")]
            for name in names:
                path = Path(parent, name)
                if not name.startswith(".") and path.is_file():
                    below = path.relative_to(self.directory).as_posix()
                    yield ModelFile(below, path.stat().st_size)
