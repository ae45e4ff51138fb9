"""A repository on a hub as the files of a model, of which nothing has been downloaded."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from xinfer.errors import InvalidRequest, NotFound, Unavailable
from xinfer.model.files import ModelFile
from xinfer.model.hub import huggingface, modelscope
from xinfer.model.hub.client import UNREACHABLE
from xinfer.model.hub.huggingface import HuggingFace
from xinfer.model.hub.modelscope import ModelScope
from xinfer.model.hub.names import check_file, check_repo, check_revision
from xinfer.settings import Settings
from xinfer.types.model import Source

HUBS: dict[str, type[HuggingFace] | type[ModelScope]] = {
    huggingface.NAME: HuggingFace,
    modelscope.NAME: ModelScope,
}


class Repository:
    """`ModelFiles` of one commit.

    Args:
        source: `files` of it is not looked at: all there is is listed.
    """

    def __init__(self, source: Source, hub: HuggingFace | ModelScope) -> None:
        self.source = source
        self.page = hub.page
        """Where a person sees it."""
        self._hub = hub
        # The connections; nobody who reads a model's header thinks of closing them.
        weakref.finalize(self, hub.client.close)
        self.revision, listed = hub.list(source.revision)
        """The commit."""
        where = f"Repository {source.repo} on {source.hub}"
        self._files = {check_file(file.name, where): file for file in listed}

    @property
    def where(self) -> str:
        return f"{self.source.hub}: {self.source.repo}"

    def list(self) -> tuple[ModelFile, ...]:
        return tuple(sorted(self._files.values(), key=lambda file: file.name))

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        file = self._files.get(name)
        if file is None:
            raise NotFound(f"{self.where} has no file {name}.", code="file_not_found")
        end = file.size if size is None else min(file.size, start + size)
        if start >= end:
            return b""
        data = bytearray()
        with self.body(name, start, end) as (begin, chunks):
            skipped = start - begin
            for chunk in chunks:
                data += chunk
                if skipped:
                    cut = min(skipped, len(data))
                    del data[:cut]
                    skipped -= cut
                if len(data) >= end - start:
                    break
        if len(data) < end - start:
            raise Unavailable(f"{self.where}: {name} ended early.", code=UNREACHABLE)
        return bytes(data[: end - start])

    @contextmanager
    def body(self, name: str, start: int, end: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        """The bytes of a file from `start` up to, without, `end`, as they come; and from where on
        they really are: 0, to the file's end, from a hub that knows no ranges.

        Raises:
            Unavailable: the hub cannot be reached, sends another part, or stops early.
            NotFound, Forbidden, RateLimited: as it says.
        """
        headers = {"Accept-Encoding": "identity"}
        partial = start > 0 or end < self._files[name].size
        if partial:
            headers["Range"] = f"bytes={start}-{end - 1}"
        about = f"{name} of {self.source.repo}"
        url = self._hub.url(self.revision, name)
        with self._hub.client.stream(url, headers, about, self.page) as response:
            if response.status_code != 206:
                yield 0, response.iter_raw()
            elif response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                yield start, response.iter_raw()
            else:
                raise Unavailable(
                    f"{self.where}: {name} was asked for from byte {start} on, and the hub sends "
                    "another part.",
                    code=UNREACHABLE,
                )


def open_repository(source: Source, settings: Settings) -> Repository:
    """List a repository. Blocks: two requests or more.

    Raises:
        InvalidRequest: the source's names are none, or a file's name leads out of the directory.
        NotFound: there is no such repository (`model_not_found`) or revision
            (`revision_not_found`).
        Forbidden: it is private or gated.
        RateLimited, Unavailable: the hub refuses for now, or cannot be reached
            (`hub_unreachable`).
    """
    if source.hub not in HUBS:
        raise InvalidRequest(
            f"There is no hub {source.hub!r}; expected {' or '.join(HUBS)}.", param="download_hub"
        )
    check_repo(source.repo)
    if source.revision is not None:
        check_revision(source.revision)
    return Repository(source, HUBS[source.hub](source.repo, settings))
