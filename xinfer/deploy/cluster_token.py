"""The cluster's token: one line of text, from the environment or a file. Stdlib only."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from xinfer.core.security import derive_token
from xinfer.settings import Settings

logger = logging.getLogger("xinfer.deploy")

_VARIABLE = "XINFERENCE_CLUSTER_TOKEN"
_LEAST = 32
"""Characters: who listens in on a handshake can try tokens at leisure."""


class NoToken(Exception):
    """There is no token, or one that does not do; the message says what to do."""


class ClusterToken(NamedTuple):
    """The key made of it, and where it came from, for people."""

    key: bytes
    source: str


def find(settings: Settings) -> ClusterToken:
    """The token of the environment, else of the file.

    Raises:
        NoToken: with what to do in its message.
    """
    path = _path(settings)
    if settings.cluster_token:
        return _checked(settings.cluster_token, f"the variable {_VARIABLE}")
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise NoToken(
            f"A worker needs the cluster's token, and {path} does not exist. On the supervisor's "
            "machine xinference-supervisor has written such a file and logged where: copy it to "
            f"{path}, or set {_VARIABLE} to what it holds."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise NoToken(f"The cluster's token in {path} cannot be read: {error}.") from None
    if path.stat().st_mode & 0o077:
        logger.warning("Other users of this machine may read %s; run: chmod 600 %s", path, path)
    return _checked(text, str(path))


def find_or_make(settings: Settings) -> ClusterToken:
    """The same; where there is none, a file with a new one is written, for its user alone.

    Raises:
        NoToken: the one there is does not do, or none can be written.
    """
    path = _path(settings)
    if not settings.cluster_token and not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Under another name first: a reader never sees half of it.
            part = path.with_name(f"{path.name}.{os.getpid()}")
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32) + "\n")
            with contextlib.suppress(FileExistsError):
                os.link(part, path)
            part.unlink()
        except OSError as error:
            raise NoToken(
                f"The cluster's token cannot be written to {path}: {error.strerror}. Set "
                f"XINFERENCE_HOME to a directory that can be written, or {_VARIABLE}."
            ) from None
    return find(settings)


def _path(settings: Settings) -> Path:
    return settings.home_path / "cluster-token"


def _checked(text: str, source: str) -> ClusterToken:
    text = text.strip()
    if len(text) < _LEAST:
        raise NoToken(
            f"The cluster's token in {source} has {len(text)} characters; at least {_LEAST} are "
            "needed. Make one with: openssl rand -hex 32"
        )
    return ClusterToken(derive_token(text.encode(), b"cluster"), source)
