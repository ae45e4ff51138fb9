"""What is said between a process that downloads and its parent."""

from __future__ import annotations

from typing import Any

import msgspec

from xinfer.types.failure import Failure
from xinfer.types.model import FileProgress, ModelSpec


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The one line of JSON on its stdin: what to have here."""

    model: ModelSpec
    settings: dict[str, Any]
    """The fields of the parent's `Settings`."""


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of JSON on its stdout; exactly one field is set."""

    files: tuple[FileProgress, ...] | None = None
    model: ModelSpec | None = None
    """With its path: done."""
    failure: Failure | None = None
