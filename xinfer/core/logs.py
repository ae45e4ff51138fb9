"""Log lines of every process: when, who, which process, how severe, what. Stdlib only."""

from __future__ import annotations

import logging
import sys

_FORMAT = "%(asctime)s %(name)s %(process)d %(levelname)-8s %(message)s"


def configure(level: str) -> None:
    """Log to stderr from `level` (a name such as INFO) upwards, for the whole process."""
    logging.basicConfig(level=level.upper(), format=_FORMAT, stream=sys.stderr, force=True)
    for noisy in ("asyncio", "httpx", "httpcore", "xoscar"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))
