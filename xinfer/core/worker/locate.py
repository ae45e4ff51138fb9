"""Finding the supervisor, and the address by which this machine is reached from there."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import closing

from xinfer.errors import Unavailable

logger = logging.getLogger(__name__)

Locate = Callable[[], Awaitable[str]]
"""Gives the supervisor's actor address; raises `Unavailable` while it cannot be told."""

_MAX_ANSWER = 1024  # bytes


def at_address(address: str) -> Locate:
    """For a supervisor that stays where it is."""

    async def locate() -> str:
        return address

    return locate


def by_endpoint(endpoint: str, timeout: float) -> Locate:
    """Ask a server's API, each time anew: a supervisor that was started again may have moved."""
    url = endpoint.rstrip("/") + "/v1/address"
    # A proxy for the way out of the network has no part in what is within.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask() -> str:
        try:
            with opener.open(url, timeout=timeout) as answer:
                address = json.loads(answer.read(_MAX_ANSWER))
        except (OSError, ValueError) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            reason = getattr(error, "reason", None) or error
            raise Unavailable(
                f"The supervisor cannot be reached at {endpoint}: {reason}.", code="unreachable"
            ) from None
        if not isinstance(address, str) or not address.rpartition(":")[2].isdecimal():
            raise Unavailable(f"{url} answers with no address: {address!r}.", code="unreachable")
        return address

    async def locate() -> str:
        return await asyncio.to_thread(ask)

    return locate


async def until_located(locate: Locate, pause: float) -> str:
    """The supervisor's address, once it is there."""
    told = False
    while True:
        try:
            return await locate()
        except Unavailable as error:
            if not told:
                logger.warning("%s Trying again until it answers.", error)
            told = True
        await asyncio.sleep(pause)


async def own_address_towards(address: str) -> str:
    """The address of this machine from which `address` (host:port) is reached.

    Raises:
        OSError: there is no way there.
    """
    host, _, port = address.rpartition(":")

    def look() -> str:
        family, kind, _, _, target = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
        with closing(socket.socket(family, kind)) as probe:
            probe.connect(target)  # chooses a way; nothing is sent
            return str(probe.getsockname()[0])

    return await asyncio.to_thread(look)
