"""The chat requests that the benchmarks send."""

from __future__ import annotations

import json

from benchmarks.plan import Target

PATH = "/v1/chat/completions"
PROMPT = "Say this again."


def chat_target(
    port: int,
    model: str,
    *,
    connections: int,
    watch: dict[str, int],
    host: str = "127.0.0.1",
    **body: object,
) -> Target:
    """Chat requests to `model`; `body` adds fields to each."""
    messages = [{"role": "user", "content": PROMPT}]
    payload = json.dumps({"model": model, "messages": messages, **body}).encode()
    return Target(
        host=host, port=port, path=PATH, body=payload, connections=connections, watch=watch
    )
