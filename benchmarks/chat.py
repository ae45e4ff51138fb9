"""The chat requests that the benchmarks send."""

from __future__ import annotations

import json

from benchmarks.plan import Target

_PATH = "/v1/chat/completions"
PROMPT = "Say this again."


def chat_target(port: int, *, connections: int, watch: dict[str, int]) -> Target:
    return Target(port=port, path=_PATH, connections=connections, watch=watch)


def chat_body(model: str, **fields: object) -> bytes:
    """A chat request to `model`; `fields` are more of its fields."""
    messages = [{"role": "user", "content": PROMPT}]
    return json.dumps({"model": model, "messages": messages, **fields}).encode()
