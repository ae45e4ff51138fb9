"""What replicas and workers say of themselves just now, for those who look on."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from xinfer.api.services import Services
from xinfer.errors import NotFound, XinferError
from xinfer.types.control import Node, ReadNodes
from xinfer.types.link import Inspected

logger = logging.getLogger(__name__)

_WITHIN = 2.0
"""Seconds for which whoever looks on waits."""


async def replica_loads(here: Services, uid: str) -> dict[str, Inspected]:
    """By replica id; empty where the model is gone or a replica does not answer soon."""
    try:
        return await asyncio.wait_for(here.gateway.inspect(uid), _WITHIN)
    except (asyncio.TimeoutError, NotFound) as error:
        logger.warning("No load of model %r: %r", uid, error)
        return {}


async def require_nodes(here: Services) -> list[Node]:
    """The workers, by address.

    Raises:
        Unavailable: the supervisor is away.
    """
    return msgspec.convert(await here.control.call(ReadNodes()), list[Node])


async def read_nodes(here: Services) -> list[Node]:
    """The workers; none where the supervisor does not answer soon."""
    try:
        return await asyncio.wait_for(require_nodes(here), _WITHIN)
    except (asyncio.TimeoutError, XinferError) as error:
        logger.debug("No word of the workers: %r", error)
        return []
