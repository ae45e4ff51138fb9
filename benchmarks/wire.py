"""Just enough of HTTP for a client that leaves the processor to the server."""

from __future__ import annotations

import re

from benchmarks.plan import Target

OK = b"HTTP/1.1 200 "
END_OF_BODY = b"\r\n0\r\n\r\n"
END_OF_STREAM = b"data: [DONE]\n\n" + END_OF_BODY
TAIL_BYTES = 1024
"""The end of a stream that is kept: its usage and its last event."""

_TOKENS = re.compile(rb'"completion_tokens": ?(\d+)')


class WrongAnswer(Exception):
    """The server did not do what is to be measured."""


def http_request(target: Target, body: bytes) -> bytes:
    """A POST of JSON, as it is written to the socket."""
    return (
        b"POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s"
    ) % (target.path.encode(), target.host.encode(), target.port, len(body), body)


def tokens_told(tail: bytes) -> int | None:
    """The completion tokens of the last usage in it; None where there is none."""
    told = _TOKENS.findall(tail)
    return int(told[-1]) if told else None
