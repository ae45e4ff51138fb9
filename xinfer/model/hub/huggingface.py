"""The routes of HuggingFace's hub."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

from xinfer.errors import InvalidRequest, Unavailable
from xinfer.model.files import ModelFile
from xinfer.model.hub.client import UNREACHABLE, HubClient
from xinfer.settings import Settings

NAME = "huggingface"
DEFAULT_REVISION = "main"

_MAX_PAGES = 100  # of a listing; each has 1000 files


class HuggingFace:
    """One repository on HuggingFace or a mirror of it."""

    def __init__(self, repo: str, settings: Settings) -> None:
        self._repo = repo
        token = settings.hf_token or _kept_token(settings)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.client = HubClient(NAME, settings.hf_endpoint, headers, settings)
        self.page = f"{self.client.endpoint}/{repo}"

    def list(self, revision: str | None) -> tuple[str, list[ModelFile]]:
        """The commit of a branch, a tag or a commit, and its files."""
        wanted = quote(revision or DEFAULT_REVISION, safe="")
        base = f"{self.client.endpoint}/api/models/{self._repo}"
        about = f"Repository {self._repo}"
        commit = _read(self, f"{base}/revision/{wanted}", about)[0].get("sha")
        if not isinstance(commit, str) or not commit.isalnum():
            raise self.nonsense()
        url = f"{base}/tree/{commit}?recursive=true"
        files: list[ModelFile] = []
        for _ in range(_MAX_PAGES):
            entries, following = _read(self, url, about)
            if not isinstance(entries, list):
                raise self.nonsense()
            files.extend(_file(each) for each in entries if each.get("type") == "file")
            if not following:
                return commit, files
            url = urljoin(url, following)
        raise InvalidRequest(f"{about} has too many files to be a model.", code="too_many_files")

    def url(self, commit: str, name: str) -> str:
        """Where a file's bytes are."""
        return f"{self.client.endpoint}/{self._repo}/resolve/{commit}/{quote(name)}"

    def nonsense(self) -> Unavailable:
        return Unavailable(
            f"What answers at {self.client.endpoint} is not HuggingFace's hub: its answer has "
            "another form.",
            code=UNREACHABLE,
        )


def _read(hub: HuggingFace, url: str, about: str) -> tuple[Any, str]:
    """A body of JSON, and the address of the page after it."""
    with hub.client.stream(url, {}, about, hub.page) as response:
        raw = response.read()
        following = response.links.get("next", {}).get("url", "")
    try:
        return json.loads(raw), following
    except ValueError:
        raise hub.nonsense() from None


def _file(entry: dict[str, Any]) -> ModelFile:
    lfs = entry.get("lfs") or {}
    return ModelFile(
        name=str(entry["path"]),
        size=int(lfs.get("size", entry.get("size", 0))),
        sha256=str(lfs.get("oid", "")),
        git_id="" if lfs else str(entry.get("oid", "")),
    )


def _kept_token(settings: Settings) -> str:
    """What `hf auth login` has kept."""
    with suppress(OSError):
        return (Path(settings.hf_home).expanduser() / "token").read_text(encoding="utf-8").strip()
    return ""
