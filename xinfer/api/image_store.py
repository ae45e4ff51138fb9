"""Pictures that were drawn, kept for a while to be had by URL.

All API processes of a server share one directory, and nothing but its files: whoever writes one
also takes away what has expired, or what is too much.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from xinfer.errors import NotFound, Unavailable
from xinfer.settings import Settings

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9_-]{32}\.png")
_RANDOM_BYTES = 24
_UNFINISHED = ".part"
_PATIENCE = 60.0
"""Seconds after which a file that nobody has finished is nobody's."""


class ImageStore:
    """Blocks: its callers are on threads."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.image_path
        self._ttl = settings.image_ttl
        self._most = settings.image_store_bytes

    def put(self, data: bytes) -> str:
        """Keep a PNG file; the name that it can be had by, which nobody can guess.

        Raises:
            Unavailable: it cannot be written.
        """
        name = f"{secrets.token_urlsafe(_RANDOM_BYTES)}.png"
        unfinished = self._folder / f"{name}{_UNFINISHED}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room(len(data))
            unfinished.write_bytes(data)
            os.replace(unfinished, self._folder / name)
        except OSError as error:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise Unavailable(
                f"The picture cannot be written to {self._folder}: {error.strerror or error}. Ask "
                "for it with response_format b64_json, or have the administrator look there.",
                code="image_store_unavailable",
            ) from error
        return name

    def remove(self, name: str) -> None:
        """Have it no more, if it is there yet."""
        (self._folder / name).unlink(missing_ok=True)

    def open(self, name: str) -> BinaryIO:
        """The file of this name, to be read, and closed by the caller.

        Raises:
            NotFound: there is none, or none any more.
        """
        if _NAME.fullmatch(name):
            path = self._folder / name
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime <= self._ttl:
                    return path.open("rb")
        raise NotFound(
            "There is no such picture, or not any more: they are kept for "
            f"{self._ttl:g} seconds. Ask for b64_json to have it in the answer.",
            code="image_not_found",
        )

    def _make_room(self, size: int) -> None:
        """Remove what has expired, then the oldest until `size` bytes more are not too many."""
        now = time.time()
        kept = []
        for path, changed, length in self._files():
            limit = _PATIENCE if path.name.endswith(_UNFINISHED) else self._ttl
            if now - changed > limit:
                path.unlink(missing_ok=True)
            elif not path.name.endswith(_UNFINISHED):
                kept.append((changed, length, path))
        total = size + sum(length for _, length, _ in kept)
        for _, length, path in sorted(kept):
            if total <= self._most:
                break
            logger.info("Removing %s: pictures take more than %d bytes", path.name, self._most)
            path.unlink(missing_ok=True)
            total -= length

    def _files(self) -> Iterator[tuple[Path, float, int]]:
        """Each file with the time of its last change and its size."""
        with os.scandir(self._folder) as found:
            for entry in found:
                with contextlib.suppress(FileNotFoundError):  # another process was faster
                    status = entry.stat(follow_symlinks=False)
                    yield Path(entry.path), status.st_mtime, status.st_size
