"""The id of a request: in its answer, in the log, and as the handle that aborts it."""

from __future__ import annotations

import re
import secrets

MAX_LENGTH = 128
HEADER = b"x-request-id"

_UNWANTED = re.compile(r"[^A-Za-z0-9._-]")


def clean(text: str) -> str:
    """The caller's id without what does not belong in a header or a log line; never empty."""
    return _UNWANTED.sub("", text[: 8 * MAX_LENGTH])[:MAX_LENGTH] or new()


def new() -> str:
    return secrets.token_hex(16)


def of(headers: list[tuple[bytes, bytes]]) -> str:
    """The id that the request's headers bring, or a new one."""
    for name, value in headers:
        if name == HEADER:
            return clean(value.decode("latin-1"))
    return new()
