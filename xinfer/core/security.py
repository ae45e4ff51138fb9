"""The shared token, and the handshake by which two processes prove to each other that they hold it.

Mutual HMAC-SHA256 challenge and response over fresh nonces: nothing secret is sent, and a recorded
handshake is of no use. The steps are pure; whoever owns the transport moves the messages, each of
which has a fixed length:

    client                       server
    hello (HELLO_BYTES)       →
                              ←  challenge (CHALLENGE_BYTES)
    answer (ANSWER_BYTES)     →                     the client proves first
                              ←  verdict (VERDICT_BYTES)

It authenticates the opening of a channel, not what follows: between machines, `xinfer.core.tls`
goes around it.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
from hashlib import sha256

from xinfer.errors import InvalidRequest

PROTOCOL = b"xinfer/1 "
TOKEN_BYTES = 32

_PURPOSE_BYTES = 7
_PREAMBLE_BYTES = len(PROTOCOL) + _PURPOSE_BYTES
_NONCE_BYTES = 32
_MAC_BYTES = 32

HELLO_BYTES = CHALLENGE_BYTES = _PREAMBLE_BYTES + _NONCE_BYTES
ANSWER_BYTES = _MAC_BYTES
VERDICT_BYTES = 1 + _MAC_BYTES

_ACCEPTED, _REFUSED = b"\x01", b"\x00"


class HandshakeError(ConnectionError):
    """One side refused the other. The message says who refused whom and why.

    Args:
        reply: bytes to send to the peer before the connection is closed; may be empty.
    """

    def __init__(self, message: str, *, reply: bytes = b"") -> None:
        super().__init__(message)
        self.reply = reply


def new_token() -> bytes:
    """A fresh secret of `TOKEN_BYTES` random bytes."""
    return os.urandom(TOKEN_BYTES)


def derive_token(token: bytes, purpose: bytes) -> bytes:
    """A token for one purpose, the same each time and of no use for guessing `token`."""
    return hmac.new(token, PROTOCOL + purpose, sha256).digest()


class TokenRefused(HandshakeError):
    """The two sides do not hold the same token."""


def require_loopback(host: str) -> None:
    """Let only an address of this machine pass.

    Raises:
        InvalidRequest: `host` is not a literal loopback address.
    """
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise InvalidRequest(
            f"Internal channels cannot listen on {host!r} without a cluster token, only on a "
            "loopback address: 127.0.0.1 or ::1. For several machines, start the cluster with "
            "xinference-supervisor, which makes a token.",
            param="host",
        )


class _Handshake:
    """What both sides share. `peer` only names the other side in messages."""

    def __init__(self, token: bytes, purpose: bytes, peer: str) -> None:
        if len(purpose) > _PURPOSE_BYTES:
            raise ValueError(f"purpose {purpose!r} is longer than {_PURPOSE_BYTES} bytes")
        if len(token) < TOKEN_BYTES:
            raise ValueError(f"the token has {len(token)} bytes, expected at least {TOKEN_BYTES}")
        self._token = token
        self._preamble = PROTOCOL + purpose.ljust(_PURPOSE_BYTES)
        self._channel = purpose.decode("ascii")
        self._peer = peer
        self._nonce = os.urandom(_NONCE_BYTES)

    def _opening(self, message: bytes) -> bytes:
        """The peer's nonce out of its hello or challenge."""
        preamble, nonce = message[:_PREAMBLE_BYTES], message[_PREAMBLE_BYTES:]
        if preamble != self._preamble or len(nonce) != _NONCE_BYTES:
            if preamble.startswith(PROTOCOL) and preamble != self._preamble:
                other = preamble[len(PROTOCOL) :].decode("ascii", "replace").strip()
                found = f"it speaks xinfer's {other!r} channel"
            else:
                found = "it does not speak this version of xinfer's protocol"
            raise HandshakeError(
                f"Refused {self._peer} on the {self._channel} channel: {found}. "
                "Check the address, and that both sides run the same version."
            )
        return nonce

    def _proof(self, role: bytes, client_nonce: bytes, server_nonce: bytes) -> bytes:
        message = self._preamble + role + client_nonce + server_nonce
        return hmac.new(self._token, message, sha256).digest()


class ClientHandshake(_Handshake):
    """The connecting side: `hello`, `answer`, `verify`, in this order, once."""

    def hello(self) -> bytes:
        return self._preamble + self._nonce

    def answer(self, challenge: bytes) -> bytes:
        """Our proof.

        Raises:
            HandshakeError: the peer is no xinfer channel of this purpose.
        """
        self._server_nonce = self._opening(challenge)
        return self._proof(b"client", self._nonce, self._server_nonce)

    def verify(self, verdict: bytes) -> None:
        """Check that the peer accepted us and holds the token too.

        Raises:
            HandshakeError: it does not.
        """
        if verdict[:1] != _ACCEPTED:
            raise TokenRefused(
                f"{self._peer} refused us on the {self._channel} channel: our token is not its "
                "token. Both sides need the same one."
            )
        expected = self._proof(b"server", self._nonce, self._server_nonce)
        if not hmac.compare_digest(verdict[1:], expected):
            raise TokenRefused(
                f"Refused {self._peer} on the {self._channel} channel: it accepted us without "
                "holding our token."
            )


class ServerHandshake(_Handshake):
    """The listening side: `challenge`, `accept`, in this order, once."""

    def challenge(self, hello: bytes) -> bytes:
        """Our nonce.

        Raises:
            HandshakeError: the peer is no xinfer client of this purpose.
        """
        self._client_nonce = self._opening(hello)
        return self._preamble + self._nonce

    def accept(self, answer: bytes) -> bytes:
        """The verdict that lets the peer in, with our own proof.

        Raises:
            HandshakeError: the peer does not hold the token; send it the error's `reply`.
        """
        expected = self._proof(b"client", self._client_nonce, self._nonce)
        if not hmac.compare_digest(answer, expected):
            raise TokenRefused(
                f"Refused {self._peer} on the {self._channel} channel: its token is not our token.",
                reply=_REFUSED + bytes(_MAC_BYTES),
            )
        return _ACCEPTED + self._proof(b"server", self._client_nonce, self._nonce)
