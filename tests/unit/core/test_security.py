"""Two processes get a channel only when both hold the token, and learn why when they do not."""

from __future__ import annotations

import pytest

from xinfer.core.security import (
    ANSWER_BYTES,
    CHALLENGE_BYTES,
    HELLO_BYTES,
    VERDICT_BYTES,
    ClientHandshake,
    HandshakeError,
    ServerHandshake,
    new_token,
    require_loopback,
)
from xinfer.errors import InvalidRequest


def shake(client: ClientHandshake, server: ServerHandshake) -> list[bytes]:
    """Run a whole handshake; returns its four messages."""
    hello = client.hello()
    challenge = server.challenge(hello)
    answer = client.answer(challenge)
    verdict = server.accept(answer)
    client.verify(verdict)
    return [hello, challenge, answer, verdict]


def pair(token: bytes, other: bytes) -> tuple[ClientHandshake, ServerHandshake]:
    return (
        ClientHandshake(token, b"link", "the server"),
        ServerHandshake(other, b"link", "the client"),
    )


def test_sides_with_the_same_token_accept_each_other() -> None:
    token = new_token()
    messages = shake(*pair(token, token))
    assert [len(m) for m in messages] == [
        HELLO_BYTES,
        CHALLENGE_BYTES,
        ANSWER_BYTES,
        VERDICT_BYTES,
    ]


def test_no_message_contains_the_token() -> None:
    token = new_token()
    assert not any(token in message for message in shake(*pair(token, token)))


def test_a_client_with_another_token_is_refused_and_told_so() -> None:
    client, server = pair(new_token(), new_token())
    answer = client.answer(server.challenge(client.hello()))
    with pytest.raises(HandshakeError, match="Refused the client on the link channel") as refused:
        server.accept(answer)
    assert len(refused.value.reply) == VERDICT_BYTES
    with pytest.raises(HandshakeError, match="the server refused us"):
        client.verify(refused.value.reply)


def test_a_server_that_accepts_without_the_token_is_refused() -> None:
    client, server = pair(new_token(), new_token())
    client.answer(server.challenge(client.hello()))
    with pytest.raises(HandshakeError, match="without holding our token"):
        client.verify(b"\x01" + bytes(VERDICT_BYTES - 1))


def test_a_server_that_sends_the_clients_proof_back_is_refused() -> None:
    token = new_token()
    client, server = pair(token, token)
    answer = client.answer(server.challenge(client.hello()))
    with pytest.raises(HandshakeError, match="without holding our token"):
        client.verify(b"\x01" + answer)


def test_a_recorded_handshake_cannot_be_replayed() -> None:
    token = new_token()
    hello, _, answer, _ = shake(*pair(token, token))
    again = ServerHandshake(token, b"link", "the replayer")
    again.challenge(hello)
    with pytest.raises(HandshakeError, match="its token is not our token"):
        again.accept(answer)


@pytest.mark.parametrize(
    "opening",
    [b"GET / HTTP/1.1\r\n".ljust(HELLO_BYTES), b"", b"xinfer/2 link   " + bytes(32)],
    ids=["http", "empty", "another version"],
)
def test_a_stranger_is_refused_before_anything_is_answered(opening: bytes) -> None:
    server = ServerHandshake(new_token(), b"link", "127.0.0.1:5")
    with pytest.raises(HandshakeError, match=r"Refused 127\.0\.0\.1:5 .*does not speak") as refused:
        server.challenge(opening)
    assert refused.value.reply == b""


def test_channels_of_different_purpose_do_not_mix() -> None:
    token = new_token()
    client = ClientHandshake(token, b"control", "the server")
    with pytest.raises(HandshakeError, match="it speaks xinfer's 'control' channel"):
        ServerHandshake(token, b"actor", "the client").challenge(client.hello())


def test_a_short_token_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="the token has 3 bytes"):
        ClientHandshake(b"abc", b"link", "the server")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1"])
def test_loopback_addresses_are_allowed(host: str) -> None:
    require_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "localhost", "example.org", ""])
def test_any_other_host_is_refused_with_what_to_use(host: str) -> None:
    with pytest.raises(
        InvalidRequest, match=r"without a cluster token, .* 127\.0\.0\.1 or ::1"
    ) as refused:
        require_loopback(host)
    assert refused.value.param == "host"
