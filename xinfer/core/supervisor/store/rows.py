"""From what a database holds to deployments and declarations."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from xinfer.core.supervisor.store.database import Row
from xinfer.types.declaration import Declaration
from xinfer.types.deployment import Deployment

logger = logging.getLogger(__name__)

_deployment = msgspec.json.Decoder(Deployment).decode
_declaration = msgspec.json.Decoder(Declaration).decode


def wanted(rows: Mapping[str, Row], path: Path) -> list[Deployment]:
    """Those that are wanted; one that cannot be read is named in the log."""
    found = []
    for uid, row in rows.items():
        if row.body is None or row.parked:
            continue
        try:
            found.append(_deployment(row.body))
        except msgspec.DecodeError as error:
            logger.error(
                "Model %s was launched by another version of xinfer and is not understood: "
                "%s. It stays in %s until this uid is launched again.",
                uid,
                error,
                path,
            )
    return found


def declared(bodies: Mapping[str, bytes], path: Path) -> list[Declaration]:
    """All declarations; one that cannot be read is named in the log."""
    found = []
    for uid, body in bodies.items():
        try:
            found.append(_declaration(body))
        except msgspec.DecodeError as error:
            logger.error(
                "The declaration of %s is of another version of xinfer and is not understood: "
                "%s. It stays in %s until this uid is declared again.",
                uid,
                error,
                path,
            )
    return found
