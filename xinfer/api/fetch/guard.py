"""Connections that are made only to addresses that were checked.

The check stands where the connection is made, and it connects to the very addresses that it
checked: a name that resolves otherwise a moment later, or a redirect, comes by here again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import Executor

import httpcore
import psutil

from xinfer.api.fetch.addresses import Address, is_public, parse

Resolve = Callable[[str, int], list[str]]

MAX_TRIED = 4
"""Addresses of a host that are tried, one after the other."""


class NoAddress(httpcore.ConnectError):
    """A host has no address, or one that may not be connected to; not told apart, so that nobody
    learns from it which names there are in a private network."""


def resolve(host: str, port: int) -> list[str]:
    """A host's addresses by the system's resolver. Blocks.

    Raises:
        OSError: it has none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def own_addresses() -> set[str]:
    """Addresses of this machine's interfaces: what listens there may trust who is inside."""
    return {address.address for found in psutil.net_if_addrs().values() for address in found}


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """
    Args:
        private: whether every address may be connected to.
        executor: threads on which names are resolved.
        network: what opens the connections.
    """

    def __init__(
        self,
        *,
        private: bool,
        executor: Executor,
        resolve: Resolve = resolve,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._private = private
        self._executor = executor
        self._resolve = resolve
        self._network = network or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """
        Raises:
            NoAddress: the host has none, or not only such as may be connected to.
            httpcore.ConnectError: none of them answers.
        """
        loop = asyncio.get_running_loop()
        addresses = await loop.run_in_executor(self._executor, self._checked, host, port)
        for address in addresses[:-1]:
            try:
                return await self._network.connect_tcp(str(address), port, timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._network.connect_tcp(str(addresses[-1]), port, timeout)

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)

    def _checked(self, host: str, port: int) -> list[Address]:
        """A host's addresses, if all of them may be connected to."""
        try:
            addresses = [parse(found) for found in self._resolve(host, port)]
        except (OSError, ValueError):
            raise NoAddress("it has no address") from None
        if not self._private:
            own = own_addresses()
            for address in addresses:
                if not is_public(address) or str(address) in own:
                    raise NoAddress(f"{address} is not public")
        if not addresses:
            raise NoAddress("it has no address")
        return addresses[:MAX_TRIED]
