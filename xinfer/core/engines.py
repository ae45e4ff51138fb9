"""Which engines can run on this machine, and what they can compute on here."""

from __future__ import annotations

import logging

from xinfer.model.engine import engine_names, find_engine

logger = logging.getLogger(__name__)


def installed_engines() -> dict[str, tuple[str, ...]]:
    """Kinds of accelerator by the name of each installed engine. Blocks for a moment.

    An engine of somebody else that cannot even be imported is left out, with a warning.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name in engine_names():
        try:
            kinds = find_engine(name)[1].accelerators()
        except Exception as error:
            logger.warning("Engine %s is not usable here: %s", name, error)
            continue
        if kinds is not None:
            found[name] = tuple(sorted(kinds))
    return found
