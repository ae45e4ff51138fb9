"""What replicas say of themselves just now, for those who look on."""

from __future__ import annotations

import asyncio
import logging

from xinfer.api.services import Services
from xinfer.errors import NotFound
from xinfer.types.link import Inspected

logger = logging.getLogger(__name__)

_WITHIN = 2.0
"""Seconds for which whoever looks on waits for a model's replicas."""


async def replica_loads(here: Services, uid: str) -> dict[str, Inspected]:
    """By replica id; empty where the model is gone or a replica does not answer soon."""
    try:
        return await asyncio.wait_for(here.gateway.inspect(uid), _WITHIN)
    except (asyncio.TimeoutError, NotFound) as error:
        logger.warning("No load of model %r: %r", uid, error)
        return {}
