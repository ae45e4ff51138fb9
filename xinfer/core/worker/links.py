"""Where the links of a worker's replicas listen."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol


class LinkPlace(Protocol):
    """Gives each replica an address for its link; see `xinfer.core.link.address`."""

    @property
    def exposed(self) -> bool:
        """Whether other machines may reach it."""
        ...

    def address(self, replica_id: str) -> str: ...


@dataclass(frozen=True)
class UnixLinks:
    """Sockets in `directory`, which is private to the user: for API processes of this machine."""

    directory: str
    exposed: bool = False

    def address(self, replica_id: str) -> str:
        # Ids are too long for a socket's path, and hold what users wrote.
        digest = hashlib.sha256(replica_id.encode()).hexdigest()
        return f"unix:{self.directory}/{digest[:16]}.sock"


@dataclass(frozen=True)
class TcpLinks:
    """Ports of the replicas' choice on `host`, by which API processes of other machines reach
    this one."""

    host: str
    exposed: bool = False

    def address(self, replica_id: str) -> str:
        return f"tcp:{self.host}:0"
