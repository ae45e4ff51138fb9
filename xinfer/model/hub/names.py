"""Names that come from users or from hubs and become parts of paths and addresses. Pure."""

from __future__ import annotations

import re

from xinfer.errors import InvalidRequest

_REPO = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]*", re.ASCII)
_MAX_REPO, _MAX_REVISION, _MAX_FILE, _MAX_PART = 96 * 2, 255, 1024, 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")


def check_repo(name: str) -> str:
    """The name of a repository, `owner/name`; a few old ones have no owner.

    Raises:
        InvalidRequest: it is not one.
    """
    if len(name) > _MAX_REPO or not _REPO.fullmatch(name) or ".." in name:
        raise InvalidRequest(
            f"{name[:100]!r} is no repository of a hub; expected owner/name, of letters, digits, "
            "'-', '_' and '.'.",
            code="invalid_repository",
            param="model_name",
        )
    return name


def check_revision(name: str) -> str:
    """The name of a branch or tag, or a commit.

    Raises:
        InvalidRequest: it is none.
    """
    if len(name) > _MAX_REVISION or not _REVISION.fullmatch(name) or ".." in name or "//" in name:
        raise InvalidRequest(
            f"{name[:100]!r} is no revision; expected a branch, a tag or a commit.",
            code="invalid_revision",
            param="revision",
        )
    return name


def check_file(name: str, where: str) -> str:
    """The name of a file as a hub tells it, which stays below the directory it will lie in.

    Raises:
        InvalidRequest: it would not, or no file system takes it.
    """
    parts = name.split("/")
    if (
        len(name) > _MAX_FILE
        or _CONTROL.search(name)
        or any(part in ("", ".", "..") or len(part.encode()) > _MAX_PART for part in parts)
        or ":" in parts[0]
    ):
        raise InvalidRequest(
            f"{where} lists a file {name[:100]!r}, whose name leads out of the model's directory "
            "or is none. Nothing of this repository is downloaded.",
            code="unsafe_file_name",
        )
    return name
