"""Reading server-sent events the way a strict client does."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Transcript:
    """A whole stream, read to its end."""

    chunks: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] | None = None
    done: bool = False

    @property
    def text(self) -> str:
        return "".join(
            choice["delta"].get("content") or ""
            for chunk in self.chunks
            for choice in chunk["choices"]
        )


def read_stream(lines: Iterable[str]) -> Transcript:
    """Read `data:` lines to the end of the stream; nothing may follow `[DONE]` or an error."""
    transcript = Transcript()
    for line in lines:
        if not line or line.startswith(":"):
            continue
        assert line.startswith("data: "), line
        assert not transcript.done, f"after the end: {line}"
        data = line.removeprefix("data: ")
        if data == "[DONE]":
            transcript.done = True
            continue
        body = json.loads(data)
        if "error" in body:
            transcript.error = body["error"]
        else:
            transcript.chunks.append(body)
    return transcript
