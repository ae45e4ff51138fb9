"""The keys this server knows."""

from __future__ import annotations

import hashlib
import hmac

from xinfer.settings import Settings

_MAX_KEYS = 2
"""Of one request, that are looked at."""


class Keys:
    """Holds digests only; comparing takes the same time whatever is sent."""

    def __init__(self, settings: Settings) -> None:
        self._digest = _digest(settings.api_key.encode()) if settings.api_key else None

    @property
    def required(self) -> bool:
        """Whether any key is configured."""
        return self._digest is not None

    def knows(self, key: bytes | None) -> bool:
        """Whether this key opens the server."""
        if self._digest is None:
            return True
        return key is not None and hmac.compare_digest(_digest(key), self._digest)


def presented(headers: list[tuple[bytes, bytes]]) -> list[bytes]:
    """The keys in the headers: OpenAI's clients send one in the first of these, Anthropic's in
    either, or two."""
    keys = []
    for name, value in headers:
        if name == b"authorization":
            scheme, _, key = value.partition(b" ")
            if scheme.lower() == b"bearer":
                keys.append(key.strip())
        elif name == b"x-api-key":
            keys.append(value.strip())
    return keys[:_MAX_KEYS]


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
