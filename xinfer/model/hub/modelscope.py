"""The routes of ModelScope's hub."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from xinfer.errors import InvalidRequest, NotFound, Unavailable
from xinfer.model.files import ModelFile
from xinfer.model.hub.client import UNREACHABLE, HubClient
from xinfer.settings import Settings

NAME = "modelscope"
DEFAULT_REVISION = "master"

_LISTING_LIMIT = 3000
"""Entries after which the hub ends a listing, in silence."""
_LINK_MODE = "120000"


class ModelScope:
    """One repository on ModelScope."""

    def __init__(self, repo: str, settings: Settings) -> None:
        self._repo = repo
        headers = {}
        if settings.modelscope_token:
            # Either is what some of its routes take.
            headers = {
                "Authorization": f"Bearer {settings.modelscope_token}",
                "Cookie": f"m_session_id={settings.modelscope_token}",
            }
        self.client = HubClient(NAME, settings.modelscope_endpoint, headers, settings)
        self.page = f"{self.client.endpoint}/models/{repo}"
        self._base = f"{self.client.endpoint}/api/v1/models/{repo}/repo"
        self._revision = DEFAULT_REVISION

    def list(self, revision: str | None) -> tuple[str, list[ModelFile]]:
        """The commit that changed a branch or a tag last, and its files."""
        self._revision = revision or DEFAULT_REVISION
        about = f"Repository {self._repo}"
        query = urlencode({"Revision": self._revision, "Recursive": "True"})
        with self.client.stream(f"{self._base}/files?{query}", {}, about, self.page) as response:
            raw = response.read()
        try:
            answer = json.loads(raw)
            entries = (answer.get("Data") or {}).get("Files")
        except (ValueError, AttributeError):
            raise self.nonsense() from None
        if entries is None and answer.get("Code") not in (None, 200):
            raise NotFound(
                f"{about} is not on {NAME} in revision {self._revision}: "
                f"{str(answer.get('Message', ''))[:200]}.",
                code="revision_not_found",
            )
        if not isinstance(entries, list):
            raise self.nonsense()
        if len(entries) >= _LISTING_LIMIT:
            raise InvalidRequest(
                f"{about} has too many files to be a model.", code="too_many_files"
            )
        blobs = [each for each in entries if each.get("Type") == "blob"]
        links = [each for each in blobs if str(each.get("Mode", "")) == _LINK_MODE]
        if links:
            raise InvalidRequest(
                f"{about} on {NAME} has a link, {str(links[0].get('Path'))[:100]!r}, in the place "
                "of a file. Nothing of it is downloaded.",
                code="unsafe_file_name",
            )
        latest: dict[str, Any] = max(blobs, key=_committed, default={})
        commit = str(latest.get("Revision") or self._revision)
        return commit, [_file(each) for each in blobs]

    def url(self, commit: str, name: str) -> str:
        """Where a file's bytes are. The hub knows its branches and tags, not each commit."""
        return f"{self._base}?{urlencode({'Revision': self._revision, 'FilePath': name})}"

    def nonsense(self) -> Unavailable:
        return Unavailable(
            f"What answers at {self.client.endpoint} is not ModelScope: its answer has another "
            "form.",
            code=UNREACHABLE,
        )


def _committed(entry: dict[str, Any]) -> int:
    return int(entry.get("CommittedDate") or 0)


def _file(entry: dict[str, Any]) -> ModelFile:
    return ModelFile(
        name=str(entry["Path"]),
        size=int(entry.get("Size") or 0),
        sha256=str(entry.get("Sha256") or ""),
    )
