"""Addresses of links: `unix:/path` on one node, `tcp:host:port` between nodes."""

from __future__ import annotations

import os
from typing import NamedTuple

_UNIX_PATH_MAX = 104  # bytes; the smallest sun_path of the platforms we know


class Address(NamedTuple):
    """`path` for a unix socket, else `host` and `port`."""

    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path else f"tcp:{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read an address.

    Raises:
        ValueError: neither form, or a socket path longer than systems allow.
    """
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest:
        if len(os.fsencode(rest)) > _UNIX_PATH_MAX:
            raise ValueError(
                f"the socket path {rest!r} is longer than {_UNIX_PATH_MAX} bytes; "
                "set TMPDIR to a shorter directory"
            )
        return Address(path=rest)
    host, _, port = rest.rpartition(":")
    if kind == "tcp" and host and port.isdigit():
        return Address(host=host.strip("[]"), port=int(port))
    raise ValueError(f"{text!r} is no link address; expected unix:/path or tcp:host:port")
