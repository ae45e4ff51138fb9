"""`python -m benchmarks.raw`: the least that could answer, as a yardstick.

A bare ASGI application on uvicorn as the API process runs it: no framework, no validation, no
engine, no second process. It parses the body, and answers or streams what the echo engine would.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import sys
from typing import Any

import uvicorn
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

_ENVELOPE = {"id": "chatcmpl-" + 32 * "0", "created": 1_700_000_000, "model": "echo"}


class Pace:
    """Steps at a fixed interval; whoever waits takes part in the next one."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._step: asyncio.Future[None] | None = None

    async def step(self) -> None:
        if self._step is None:
            loop = asyncio.get_running_loop()
            self._step = loop.create_future()
            loop.call_later(self._interval, self._end_step, self._step)
        await self._step

    def _end_step(self, step: asyncio.Future[None]) -> None:
        self._step = None
        step.set_result(None)


def _usage(prompt: int, completion: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _answer(request: dict[str, Any]) -> bytes:
    prompt = request["messages"][-1]["content"]
    text = prompt[: request.get("max_tokens")]
    cut = len(text) == request.get("max_tokens")
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "logprobs": None,
        "finish_reason": "length" if cut else "stop",
    }
    return _dump(
        {
            **_ENVELOPE,
            "object": "chat.completion",
            "choices": [choice],
            "usage": _usage(len(prompt), len(text)),
        }
    )


def _chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = {**_ENVELOPE, "object": "chat.completion.chunk", "choices": [choice], **more}
    return b"data: " + _dump(chunk) + b"\n\n"


async def _stream(request: dict[str, Any], pace: Pace, send: ASGISendCallable) -> None:
    prompt, tokens = request["messages"][-1]["content"], request["max_tokens"]
    chunks = {letter: _chunk({"content": letter}) for letter in prompt}
    await _send(send, _chunk({"role": "assistant", "content": ""}), more=True)
    for letter in itertools.islice(itertools.cycle(prompt), tokens):
        await pace.step()
        await _send(send, chunks[letter], more=True)
    end = _chunk({}, "length", usage=_usage(len(prompt), tokens)) + b"data: [DONE]\n\n"
    await _send(send, end, more=False)


async def _send(send: ASGISendCallable, body: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


class Application:
    """Echoes on every path."""

    def __init__(self, token_interval: float) -> None:
        self._pace = Pace(token_interval)

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        assert scope["type"] == "http"
        body, more = b"", True
        while more:
            message = await receive()
            assert message["type"] == "http.request"
            body += message["body"]
            more = message["more_body"]
        request = json.loads(body)
        stream = request.get("stream", False)
        answer = b"" if stream else _answer(request)
        headers = [(b"content-type", b"text/event-stream" if stream else b"application/json")]
        if not stream:
            headers.append((b"content-length", b"%d" % len(answer)))
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": headers,
                "trailers": False,
            }
        )
        if stream:
            await _stream(request, self._pace, send)
        else:
            await _send(send, answer, more=False)


def main() -> None:
    token_interval = float(sys.argv[1])
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    print("listening on port", listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        Application(token_interval),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
