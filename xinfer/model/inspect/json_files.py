"""The small JSON files of a model: read with bounds, and looked into without trusting them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from xinfer.errors import InvalidRequest
from xinfer.model.files import LocalFiles, ModelFile, ModelFiles

MAX_JSON = 64 << 20
"""Bytes. The index of a model with very many tensors has some 10 MB."""
_LARGEST = 1 << 40


class Listing:
    """The files of a model by name; nothing is read that is not among them."""

    def __init__(self, files: ModelFiles) -> None:
        self.where = files.where
        self.local = isinstance(files, LocalFiles)
        """Whether reading is cheap."""
        self._files = files
        self.by_name: dict[str, ModelFile] = {file.name: file for file in files.list()}

    def __contains__(self, name: str) -> bool:
        return name in self.by_name

    def size(self, name: str) -> int:
        return self.by_name[name].size

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        """As `ModelFiles.read`, of a file of the list."""
        return self._files.read(self.by_name[name].name, start, size)

    def text(self, name: str, most: int = 4 << 20) -> str:
        """A whole file, or nothing if there is none.

        Raises:
            InvalidRequest: it is over `most` bytes or not UTF-8.
        """
        if name not in self:
            return ""
        if self.size(name) > most:
            raise self.refusal(name, f"it has {self.size(name)} bytes; expected {most} at most")
        data = self.read(name)
        if len(data) != self.size(name):
            raise self.cut_off(name, len(data))
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self.refusal(name, f"it is not UTF-8 (at byte {error.start})") from None

    def json(self, name: str) -> dict[str, Any]:
        """The object in a JSON file; empty if there is no such file.

        Raises:
            InvalidRequest: it is damaged, or holds something else.
        """
        if name not in self:
            return {}
        value = self.json_value(name)
        if not isinstance(value, dict):
            raise self.refusal(name, "it holds no JSON object")
        return value

    def json_value(self, name: str) -> Any:
        """What is in a JSON file, which is there.

        Raises:
            InvalidRequest: it is damaged.
        """
        text = self.text(name, MAX_JSON)
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            reason = f"{error.msg} in line {error.lineno}, column {error.colno}"
        except RecursionError:
            reason = "it is nested too deep"
        except ValueError as error:  # a number of thousands of digits
            reason = str(error)
        raise self.refusal(name, f"it is damaged JSON: {reason}")

    def cut_off(self, name: str, actual: int) -> InvalidRequest:
        """For a file whose end came before the list says."""
        return self.refusal(name, f"it has {actual} bytes; expected {self.size(name)}")

    def refusal(self, name: str, reason: str) -> InvalidRequest:
        return InvalidRequest(
            f"{self.where}: {name} cannot be used: {reason}. Copy or download it again."
        )


def number(config: Mapping[str, Any], *keys: str) -> int:
    """The first of these that is a whole number above 0 and no absurd one; 0 if there is none."""
    for key in keys:
        value = config.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LARGEST:
            return value
    return 0


def section(config: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """The first of these that is an object; an empty one if there is none."""
    for key in keys:
        value = config.get(key)
        if isinstance(value, dict):
            return value
    return {}


def strings(value: Any) -> tuple[str, ...]:
    """The strings of a list; a string is a list of one."""
    if isinstance(value, str):
        return (value,)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()
