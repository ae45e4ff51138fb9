"""The listening socket: bound where asked, or a message that tells what to do."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest

from xinfer.deploy.listen import CannotListen, endpoint, listen, loopback


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 loopback")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another server listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def reaches(host: str, port: int) -> bool:
    with socket.create_connection((host, port), timeout=5):
        return True


def test_port_zero_takes_a_free_one_and_accepts() -> None:
    with listen("127.0.0.1", 0, search=False) as listener:
        assert port_of(listener) > 0
        assert reaches("127.0.0.1", port_of(listener))


def test_a_port_in_use_is_told_with_what_to_do(taken: int) -> None:
    with pytest.raises(CannotListen, match=rf"Port {taken} .* in use.*-p"):
        listen("127.0.0.1", taken, search=False)


def test_a_search_takes_the_next_free_port(taken: int) -> None:
    with listen("127.0.0.1", taken, search=True) as listener:
        assert taken < port_of(listener) <= taken + 100


def test_a_search_ends_at_the_last_port() -> None:
    def refuse(self: socket.socket, address: object) -> None:
        tried.append(address)
        raise OSError(errno.EADDRINUSE, "in use")

    tried: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", _refusing(refuse))
        with pytest.raises(CannotListen, match="in use"):
            listen("127.0.0.1", 65530, search=True)
    assert tried == [("127.0.0.1", port) for port in range(65530, 65536)]


def _refusing(bind: object) -> type[socket.socket]:
    return type("Refusing", (socket.socket,), {"bind": bind})


def test_a_privileged_port_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "socket", _refusing(refuse))
    with pytest.raises(CannotListen, match=r"Port 80 needs privileges.*1024"):
        listen("127.0.0.1", 80, search=True)


def test_an_address_of_another_machine_is_told_with_what_to_do() -> None:
    with pytest.raises(CannotListen, match=r"no address of this machine.*-H"):
        listen("192.0.2.1", 0, search=False)


def test_a_name_that_is_no_address_is_told_with_what_to_do() -> None:
    with pytest.raises(CannotListen, match=r"no address of this machine.*-H 127\.0\.0\.1"):
        listen("no-such-host.invalid", 0, search=False)


def test_another_failure_is_told_in_the_systems_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise OSError(errno.ENOBUFS, "No buffer space available")

    monkeypatch.setattr(socket, "socket", _refusing(refuse))
    with pytest.raises(CannotListen, match="port 5: No buffer space available"):
        listen("127.0.0.1", 5, search=True)


@needs_ipv6
def test_ipv6_loopback_is_listened_on() -> None:
    with listen("::1", 0, search=False) as listener:
        assert reaches("::1", port_of(listener))


@needs_ipv6
def test_all_addresses_are_those_of_both_families() -> None:
    with listen("::", 0, search=False) as listener:
        assert reaches("::1", port_of(listener))
        assert reaches("127.0.0.1", port_of(listener))


def test_a_restart_is_not_kept_out_by_the_connections_of_before() -> None:
    with listen("127.0.0.1", 0, search=False) as listener:
        port = port_of(listener)
        client = socket.create_connection(("127.0.0.1", port))
        server, _ = listener.accept()
    server.close()  # closed first: this side keeps the address in TIME_WAIT
    client.close()
    with listen("127.0.0.1", port, search=False) as again:
        assert port_of(again) == port


def test_loopback_is_ipv4_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loopback() == "127.0.0.1"

    def ipv6_only(self: socket.socket, address: tuple[str, int]) -> None:
        if self.family == socket.AF_INET:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    def nothing(self: socket.socket, address: tuple[str, int]) -> None:
        raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    monkeypatch.setattr(socket, "socket", _refusing(ipv6_only))
    assert loopback() == "::1"
    monkeypatch.setattr(socket, "socket", _refusing(nothing))
    with pytest.raises(CannotListen, match="no loopback address"):
        loopback()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:9997"),
        ("0.0.0.0", "http://127.0.0.1:9997"),
        ("::", "http://[::1]:9997"),
        ("::1", "http://[::1]:9997"),
        ("fe80::1", "http://[fe80::1]:9997"),
        ("example.org", "http://example.org:9997"),
    ],
)
def test_the_endpoint_is_one_that_a_client_here_can_use(host: str, url: str) -> None:
    assert endpoint(host, 9997) == url
