"""What replicas and workers say of themselves just now, for those who look on."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from xinfer.api.services import Services
from xinfer.errors import NotFound, XinferError
from xinfer.types.control import ReadNodes
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


async def read_nodes(here: Services) -> list[dict[str, Any]]:
    """The workers, as `Node` in builtins; empty where the supervisor does not answer soon."""
    try:
        nodes: list[dict[str, Any]] = await asyncio.wait_for(
            here.control.call(ReadNodes()), _WITHIN
        )
        return nodes
    except (asyncio.TimeoutError, XinferError) as error:
        logger.debug("No word of the workers: %r", error)
        return []
