"""A hub on loopback with the routes of both HuggingFace and ModelScope, that fails as it is told.

The hubs' own libraries download from it (`tests/unit/model/hub/test_fake_hub.py`), which is how we
know that it speaks as they do.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".gguf", ".safetensors", ".bin")
"""Files that HuggingFace keeps beside the repository, behind a redirect."""
_CHUNK = 16 << 10


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Request:
    """One request that was made."""

    method: str
    path: str
    start: int
    """Of its Range; 0 without."""
    token: str
    host: str


@dataclass
class Repo:
    """A repository and what is wrong with it."""

    files: dict[str, bytes]
    revision: str = ""
    """The commit; by default made of the files."""
    branches: tuple[str, ...] = ("main", "master")
    token: str = ""
    """Needed for everything, as of a gated model."""
    digests: dict[str, str] = field(default_factory=dict)
    """Of files, said instead of the true ones."""
    no_digests: bool = False

    @property
    def commit(self) -> str:
        text = "".join(f"{name}{sha256(data)}" for name, data in sorted(self.files.items()))
        return self.revision or hashlib.sha1(text.encode()).hexdigest()


class FakeHub:
    """What is served and how. Both hubs have the repositories of `repos`."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.requests: list[Request] = []
        self.cuts: dict[str, list[int]] = defaultdict(list)
        """By file name: after how many bytes each next body ends, with the connection."""
        self.statuses: list[int] = []
        """Of the next answers, instead of what was asked for."""
        self.retry_after = "0"
        self.only: str = ""
        """Fragment of the paths that `statuses` is for."""
        self.ranges = True
        self.pace: float = 0.0
        """Bytes a second of each body; 0 for all at once."""
        self.gate = threading.Event()
        """While it is not set, bodies of more than `gate_after` bytes wait there."""
        self.gate.set()
        self.gate_after = 0
        self.port = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What has a program use it, as both hubs."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "MODELSCOPE_ENDPOINT": self.endpoint,
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def add(self, name: str, files: dict[str, bytes], **more: Any) -> Repo:
        repo = self.repos[name] = Repo(dict(files), **more)
        return repo

    def bodies(self, name: str) -> list[Request]:
        """Requests for a file's content."""
        return [each for each in self.requests if each.path.endswith("/" + name)]


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    hub = FakeHub()

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = _Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no news for the standard error of a command under test."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        name = query.get("FilePath", "")
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        shown = f"{path}/{name}" if name else path
        self.hub.requests.append(
            Request(self.command, shown, self._start(), token, self.headers.get("Host", ""))
        )
        if self.hub.statuses and self.hub.only in shown:
            status = self.hub.statuses.pop(0)
            self._json(status, {"error": "as told"}, {"Retry-After": self.hub.retry_after})
            return
        if path.startswith("/cdn/"):
            self._cdn(path)
        elif path.startswith("/api/v1/models/"):
            self._modelscope(path.removeprefix("/api/v1/models/"), query, token)
        elif path.startswith("/api/models/"):
            self._huggingface_api(path.removeprefix("/api/models/"), token)
        elif "/resolve/" in path:
            self._huggingface_file(path[1:], token)
        else:
            self._json(404, {"error": f"no route {path}"})

    def _start(self) -> int:
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])

    # HuggingFace

    def _huggingface_api(self, path: str, token: str) -> None:
        owner, name, what, *rest = [*path.split("/"), ""]
        repo = self._repo(f"{owner}/{name}", token)
        if repo is None:
            return
        revision = "/".join(filter(None, rest)) if what != "" else "main"
        if revision not in (*repo.branches, repo.commit):
            self._json(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        elif what == "tree":
            self._json(200, [self._tree_entry(repo, each) for each in repo.files])
        else:
            siblings = [{"rfilename": each} for each in repo.files]
            self._json(
                200,
                {"id": f"{owner}/{name}", "modelId": f"{owner}/{name}", "sha": repo.commit}
                | {"siblings": siblings, "private": False, "tags": [], "downloads": 0, "likes": 0},
            )

    def _tree_entry(self, repo: Repo, name: str) -> dict[str, Any]:
        data = repo.files[name]
        entry: dict[str, Any] = {"type": "file", "path": name, "size": len(data)}
        entry["oid"] = repo.digests.get(name, git_id(data))
        if name.endswith(LARGE):
            digest = repo.digests.get(name, sha256(data))
            entry["oid"] = git_id(digest.encode())  # of the pointer
            entry["lfs"] = {"oid": digest, "size": len(data), "pointerSize": 134}
        return entry

    def _huggingface_file(self, path: str, token: str) -> None:
        name, _, rest = path.partition("/resolve/")
        _, _, file = rest.partition("/")
        repo = self._repo(name, token)
        if repo is None:
            return
        if file not in repo.files:
            self._json(404, {"error": "no file"}, {"X-Error-Code": "EntryNotFound"})
            return
        data = repo.files[file]
        headers = {"X-Repo-Commit": repo.commit, "ETag": f'"{git_id(data)}"'}
        if file.endswith(LARGE):
            digest = repo.digests.get(file, sha256(data))
            headers["X-Linked-ETag"] = f'"{digest}"'
            headers["X-Linked-Size"] = str(len(data))
            # Another host, which must not be shown the token.
            headers["Location"] = f"http://localhost:{self.hub.port}/cdn/{name}/{file}"
            self._json(302, {}, headers)
            return
        self._body(file, data, headers)

    def _cdn(self, path: str) -> None:
        _, _, owner, name, file = path.split("/", 4)
        data = self.hub.repos[f"{owner}/{name}"].files[file]
        self._body(file, data, {"ETag": '"of-the-cdn"'})

    # ModelScope

    def _modelscope(self, path: str, query: dict[str, str], token: str) -> None:
        owner, name, *rest = path.split("/")
        repo = self._repo(f"{owner}/{name}", token or self._session())
        if repo is None:
            return
        if not rest:
            self._json(200, {"Code": 200, "Success": True, "Data": {"Name": name, "Path": owner}})
        elif rest == ["revisions"]:
            branches = [{"Revision": each} for each in repo.branches]
            data = {"RevisionMap": {"Branches": branches, "Tags": []}}
            self._json(200, {"Code": 200, "Success": True, "Data": data})
        elif query.get("Revision", "master") not in (*repo.branches, repo.commit):
            self._json(404, {"Code": 10010205001, "Message": "no such revision", "Success": False})
        elif rest == ["repo", "files"]:
            files = [self._modelscope_entry(repo, each) for each in repo.files]
            self._json(200, {"Code": 200, "Success": True, "Data": {"Files": files}})
        elif rest == ["repo"] and query.get("FilePath") in repo.files:
            file = query["FilePath"]
            self._body(file, repo.files[file], {})
        else:
            self._json(404, {"Code": 404, "Message": "not found", "Success": False})

    def _session(self) -> str:
        cookie = self.headers.get("Cookie", "")
        return cookie.partition("m_session_id=")[2].partition(";")[0]

    def _modelscope_entry(self, repo: Repo, name: str) -> dict[str, Any]:
        data = repo.files[name]
        digest = "" if repo.no_digests else repo.digests.get(name, sha256(data))
        return {
            "Name": name.rpartition("/")[2],
            "Path": name,
            "Size": len(data),
            "Sha256": digest,
            "Type": "blob",
            "Mode": "33188",
            "IsLFS": name.endswith(LARGE),
            "Revision": repo.commit,
            "CommittedDate": 1_700_000_000,
        }

    # Both

    def _repo(self, name: str, token: str) -> Repo | None:
        repo = self.hub.repos.get(name)
        if repo is None:
            code = {"X-Error-Code": "RepoNotFound"}
            self._json(404, {"error": "Repository not found", "Message": "not found"}, code)
        elif repo.token and token != repo.token:
            code = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted."}
            self._json(403 if token else 401, {"error": "gated", "Message": "gated"}, code)
            return None
        return repo

    def _json(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def _body(self, name: str, data: bytes, headers: dict[str, str]) -> None:
        asked = self.headers.get("Range")
        start, end = 0, len(data)
        if asked and self.hub.ranges:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start = int(first)
            end = min(len(data), int(last) + 1) if last else len(data)
            if start >= len(data):
                self._json(416, {}, {"Content-Range": f"bytes */{len(data)}"})
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        else:
            self.send_response(200)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        cuts = self.hub.cuts[name]
        stop = min(end, start + cuts.pop(0)) if cuts else end
        try:
            self._send(data, start, stop)
        except OSError:
            stop = -1  # the reader has gone
        if stop != end:
            self.close_connection = True

    def _send(self, data: bytes, start: int, stop: int) -> None:
        while start < stop:
            if start >= self.hub.gate_after:
                self.hub.gate.wait(60)
            piece = data[start : min(stop, start + _CHUNK)]
            self.wfile.write(piece)
            start += len(piece)
            if self.hub.pace:
                time.sleep(len(piece) / self.hub.pace)
