"""The ways in which people name a model: by the catalogue, by a repository on a hub, by a path."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from xinfer.errors import InvalidRequest
from xinfer.model.inspect.parts import is_piece, piece_refusal

HUGGINGFACE = "huggingface"
MODELSCOPE = "modelscope"

HUB_NAMES = {
    "huggingface": HUGGINGFACE,
    "hf": HUGGINGFACE,
    "modelscope": MODELSCOPE,
    "ms": MODELSCOPE,
}
"""What a launch may call a hub, in lower case."""

_SITES = {
    "hf.co": HUGGINGFACE,
    "huggingface.co": HUGGINGFACE,
    "hf-mirror.com": HUGGINGFACE,
    "modelscope.cn": MODELSCOPE,
    "www.modelscope.cn": MODELSCOPE,
    "modelscope.ai": MODELSCOPE,
}
SHORT_NAMES = {HUGGINGFACE: "hf", MODELSCOPE: "ms"}
_REPO = re.compile(r"([A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,199}", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
_SIZE = re.compile(r"(\d+(?:[._]\d+)?)b", re.ASCII | re.IGNORECASE)
_FILES = (".gguf", ".onnx")
"""Endings of files that are a model each."""
_EXPECTED = (
    "Expected owner/name, with hf: or ms: before it for one hub alone, "
    ":QUANTIZATION or @REVISION behind it."
)


class PathName(NamedTuple):
    """A file or a directory of the server."""

    path: str


class RepositoryName(NamedTuple):
    """A repository, on one hub or on whichever has it."""

    repo: str
    """`owner/name`."""
    hub: str | None = None
    """huggingface or modelscope; None for any."""
    revision: str | None = None
    """Branch, tag or commit; None for the hub's own."""
    tag: str | None = None
    """What stands behind a colon: a quantisation."""
    file: str | None = None
    """One file of it, by its path in the repository."""

    def __str__(self) -> str:
        hub = f"{SHORT_NAMES[self.hub]}:" if self.hub else ""
        revision = f"@{self.revision}" if self.revision else ""
        file = f"/{self.file}" if self.file else ""
        return f"{hub}{self.repo}{file}{revision}"


class CatalogueName(NamedTuple):
    """A name to look up; the tag is a size (`7b`) or a quantisation."""

    name: str
    tag: str | None = None


ModelName = PathName | RepositoryName | CatalogueName


def parse_name(name: str) -> ModelName:
    """What a launch's `model_name` is. Looks at nothing but the name.

    `hf:owner/name:Q4_K_M`, `hf.co/owner/name@main`, `https://huggingface.co/owner/name/tree/main`,
    `hf:owner/name/file.gguf`, `owner/name`, `./directory`, `model.gguf`, `qwen-chat`,
    `qwen-chat:7b`.

    Raises:
        InvalidRequest: it begins like a repository and is none; `param` is model_name.
    """
    hub, rest = _hub(name)
    if hub is None and is_path(name):
        return PathName(name)
    if hub is None and "/" not in rest:
        return _catalogue(rest)
    return _repository(name, hub, rest)


def is_path(name: str) -> bool:
    """Whether a model name is a path rather than a name of the catalogue or of a hub."""
    if "://" in name or _hub(name)[0] is not None:
        return False
    return (
        os.path.isabs(name)
        or name.startswith(("~", "./", "../", ".\\", "..\\"))
        or name in {".", ".."}
        or name.lower().endswith(_FILES)
    )


def size_of_tag(tag: str) -> float | None:
    """Billions of parameters, of a tag like `7b` or `0_5b`; None when it is no size."""
    size = _SIZE.fullmatch(tag)
    return float(size[1].replace("_", ".")) if size else None


def short_name(name: str) -> str:
    """What a model is called whose launch gave it no name: the last part of its own."""
    parsed = parse_name(name)
    if isinstance(parsed, CatalogueName):
        return parsed.name
    if isinstance(parsed, RepositoryName):
        own = (parsed.file or parsed.repo).rpartition("/")[2]
    else:
        own = os.path.abspath(os.path.expanduser(parsed.path)).rpartition("/")[2]
    return own.rpartition(".")[0] if own.lower().endswith(_FILES) else own


def parse_hub(name: str | None) -> str | None:
    """The hub that `download_hub` names; None for any.

    Raises:
        InvalidRequest: there is no such hub; `param` is download_hub.
    """
    if name is None or name.lower() in {"auto", ""}:
        return None
    hub = HUB_NAMES.get(name.lower())
    if hub is None:
        raise InvalidRequest(
            f"There is no hub {name[:100]!r}. Hubs: {HUGGINGFACE}, {MODELSCOPE}; auto takes "
            "the first that answers.",
            param="download_hub",
        )
    return hub


def _hub(name: str) -> tuple[str | None, str]:
    """The hub that a name begins with, and what is left of it."""
    for scheme in ("https://", "http://"):
        if name.lower().startswith(scheme):
            name = name[len(scheme) :]
            site, _, rest = name.partition("/")
            hub = _SITES.get(site.lower())
            if hub is None:
                raise InvalidRequest(
                    f"{site[:100]!r} is no hub. Models are had from {HUGGINGFACE} "
                    f"and {MODELSCOPE}: hf:owner/name or ms:owner/name.",
                    param="model_name",
                )
            return hub, rest
    site, slash, rest = name.partition("/")
    if slash and site.lower() in _SITES:
        return _SITES[site.lower()], rest
    prefix, colon, rest = name.partition(":")
    if colon and prefix.lower() in HUB_NAMES:
        return HUB_NAMES[prefix.lower()], rest.removeprefix("//")
    return None, name


def _catalogue(rest: str) -> CatalogueName:
    name, _, tag = rest.partition(":")
    return CatalogueName(name, tag or None)


def _repository(name: str, hub: str | None, rest: str) -> RepositoryName:
    rest = rest.removeprefix("models/").rstrip("/")
    # What stands behind the path: a tag and a revision, in any order.
    first = min((at for at in (rest.find(":"), rest.find("@")) if at >= 0), default=len(rest))
    additions = re.findall(r"([:@])([^:@]*)", rest[first:])
    values = dict(additions)
    tag, revision = values.get(":"), values.get("@")
    owner, slash, path = rest[:first].partition("/")
    own, _, page = path.partition("/")
    at, file = _page(page)
    # A few old repositories have no owner; only where the hub is named are they told from others.
    repo = f"{owner}/{own}" if slash or hub is None else owner
    well_formed = (
        len(values) == len(additions)
        and not (at and revision)
        and at is not None
        and ".." not in rest
        and _REPO.fullmatch(repo)
        and (revision is None or _REVISION.fullmatch(revision))
        and (tag is None or _TAG.fullmatch(tag))
    )
    if not well_formed:
        raise piece_refusal(name[:200]) if is_piece(page) else _no_repository(name)
    return RepositoryName(repo, hub, at or revision or None, tag, file)


def _page(page: str) -> tuple[str | None, str | None]:
    """Revision and file, of what follows a repository in an address; the revision is empty where
    there is none, and None where the address leads to something else."""
    if page in {"", "files", "summary"}:
        return "", None
    kind, _, rest = page.partition("/")
    if kind in {"tree", "blob", "resolve"}:
        revision, _, file = rest.partition("/")
        is_whole = bool(file) == (kind != "tree")
        return (revision if is_whole and _REVISION.fullmatch(revision) else None), file or None
    return ("", page) if page.lower().endswith(_FILES) else (None, None)


def _no_repository(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"{name[:200]!r} names no repository. {_EXPECTED} A path begins with / or ./.",
        param="model_name",
    )
