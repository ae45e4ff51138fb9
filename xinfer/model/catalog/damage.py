"""Models of the cache that are not as their hub says, and what mends them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from xinfer.errors import EngineFailed
from xinfer.model.catalog.names import SHORT_NAMES
from xinfer.model.hub.cache import Entry, corrupt_file, entry_at, verify
from xinfer.model.inspect.gguf_model import GGUF_FORMAT
from xinfer.settings import Settings

logger = logging.getLogger(__name__)


def entry_name(entry: Entry) -> str:
    """What a launch or a pull calls an entry of the cache."""
    manifest = entry.manifest
    tag = f":{manifest.model.quantization}" if manifest.model.format == GGUF_FORMAT else ""
    return f"{SHORT_NAMES[manifest.hub]}:{manifest.repo}{tag}"


def find_damage(
    path: str, settings: Settings, cancelled: Callable[[], bool] = lambda: False
) -> EngineFailed | None:
    """Why a model cannot be loaded that lies in the cache: a file of it that has changed since it
    was downloaded, with what it should be and how to have it again. None where there is none, and
    for what is not in the cache. Blocks: it reads all files.
    """
    entry = entry_at(Path(path), settings)
    if entry is None:
        return None
    try:
        wrong = verify(entry, cancelled)
    except OSError as error:
        logger.warning("%s cannot be verified: %s", entry.path, error)
        return None
    if not wrong:
        return None
    found = corrupt_file(str(entry.path), wrong[0])
    return EngineFailed(
        f"{found.message} Have it again with `xinference pull --verify {entry_name(entry)}` on "
        f"that machine, or remove it with `xinference remove-cache -n {entry.manifest.repo}`, and "
        "launch again.",
        code=found.code,
        details=found.details,
    )
