"""The listening socket of the REST API: bound once, by the launcher, for all API processes.

It stays open while an API process is started again, so that clients wait instead of being refused.
Stdlib only.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import Any

_BACKLOG = 2048
_PORTS_TRIED = 100


class CannotListen(Exception):
    """The address cannot be listened on; the message says why and what to do."""


def listen(host: str, port: int, *, search: bool) -> socket.socket:
    """A listening socket on the first address of `host`.

    Args:
        port: 0 takes any free one.
        search: whether to take the next free port when this one is in use.

    Raises:
        CannotListen: with the fix in its message.
    """
    family, address = _resolve(host, port)
    for candidate in range(port, min(port + (_PORTS_TRIED if search and port else 1), 65536)):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            listener.bind((address[0], candidate, *address[2:]))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            if error.errno == errno.EADDRINUSE:
                continue
            raise CannotListen(_explain(host, candidate, error)) from None
        return listener
    raise CannotListen(
        f"Port {port} on {host} is in use. Stop the server that has it, "
        "or choose another one with -p."
    )


def address_of(host: str) -> str:
    """The first literal address of `host`.

    Raises:
        CannotListen: it has none.
    """
    return str(_resolve(host, 0)[1][0])


def check_port(host: str, port: int, option: str) -> None:
    """Check that another process can listen there; 0 stands for any port. `option` sets it.

    Raises:
        CannotListen: with the fix in its message.
    """
    if port:
        try:
            listen(host, port, search=False).close()
        except CannotListen as error:
            raise CannotListen(str(error).replace("with -p", f"with {option}")) from None


def _resolve(host: str, port: int) -> tuple[int, tuple[Any, ...]]:
    """Family and address for `bind`."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise CannotListen(
            f"{host!r} is no address of this machine ({error.strerror}). "
            "Use -H 127.0.0.1 for this machine alone, or -H 0.0.0.0 for all of its addresses."
        ) from None
    return family, address


def _explain(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f"{host} is no address of this machine. If it has IPv6 only, use -H ::1 (this machine) "
            "or -H :: (all addresses)."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} needs privileges. Choose one from 1024 upwards with -p."
    return f"Cannot listen on {host} port {port}: {error.strerror}."


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_any(host: str) -> bool:
    """Whether `host`, a literal address, stands for all of this machine's."""
    return ipaddress.ip_address(host).is_unspecified


def loopback() -> str:
    """The loopback address this machine has: 127.0.0.1, or ::1 where there is IPv6 only.

    Raises:
        CannotListen: it has neither.
    """
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.bind((host, 0))
        except OSError:
            continue
        return host
    raise CannotListen("This machine has no loopback address; bring its `lo` interface up.")


def endpoint(host: str, port: int, scheme: str = "http") -> str:
    """The URL by which a client on this machine reaches the socket."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host, host)
    if ":" in shown and not shown.startswith("["):
        shown = f"[{shown}]"
    return f"{scheme}://{shown}:{port}"
