"""How much of bodies is taken: of one, and of all that are held at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.replicas import soon
from xinfer.api.middleware.body_limit import SMALL, BodyLimit
from xinfer.errors import PayloadTooLarge, Unavailable, XinferError

pytestmark = pytest.mark.anyio

MIB = 1 << 20


class Upload:
    """A request whose body comes in the pieces that the test sends."""

    def __init__(
        self, app: BodyLimit, announced: int | None = None, kind: str = "application/json"
    ) -> None:
        headers = [(b"content-type", kind.encode())]
        if announced is not None:
            headers.append((b"content-length", str(announced).encode()))
        self.scope = {"type": "http", "path": "/", "headers": headers, "state": {}}
        self.sent: list[dict[str, Any]] = []
        self._pieces: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.task = asyncio.create_task(app(self.scope, self._pieces.get, self._send))  # type: ignore[arg-type]

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    async def piece(self, size: int, *, last: bool = False) -> None:
        """Send so many bytes more, and let the application take them."""
        message = {"type": "http.request", "body": bytes(size), "more_body": not last}
        self._pieces.put_nowait(message)
        for _ in range(5):
            await asyncio.sleep(0)

    @property
    def status(self) -> int | None:
        return next((m["status"] for m in self.sent if m["type"] == "http.response.start"), None)

    async def failed(self) -> XinferError:
        with pytest.raises(XinferError) as failure:
            await soon(self.task)
        return failure.value


class Server:
    """What reads bodies to their end, and answers when it is told to."""

    def __init__(self, limit: int = 4 * MIB, limit_held: int = 2 * MIB) -> None:
        self.answer = asyncio.Event()
        self.app = BodyLimit(self._read, limit, 2 * limit, limit_held)
        self._uploads: list[Upload] = []

    async def _read(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        await self.answer.wait()

    def upload(self, announced: int | None = None, kind: str = "application/json") -> Upload:
        self._uploads.append(Upload(self.app, announced, kind))
        return self._uploads[-1]

    async def close(self) -> None:
        for upload in self._uploads:
            upload.task.cancel()
        await asyncio.gather(*(one.task for one in self._uploads), return_exceptions=True)


@asynccontextmanager
async def serving(**limits: int) -> AsyncIterator[Server]:
    made = Server(**limits)
    try:
        yield made
    finally:
        await made.close()


async def test_a_body_is_refused_by_what_it_says_and_by_what_comes() -> None:
    async with serving() as server:
        announced = server.upload(4 * MIB + 1)
        await soon(announced.task)
        assert announced.status == 413
        silent = server.upload()
        await silent.piece(4 * MIB)
        assert not silent.task.done()
        await silent.piece(1)
        assert isinstance(await silent.failed(), PayloadTooLarge)


async def test_a_form_with_files_has_a_limit_of_its_own() -> None:
    kind = 'Multipart/Form-Data; boundary="x"'
    async with serving() as server:
        announced = server.upload(8 * MIB + 1, kind)
        await soon(announced.task)
        assert announced.status == 413
        assert b"XINFERENCE_MAX_FORM_BYTES" in announced.sent[1]["body"]
        silent = server.upload(kind=kind)
        await silent.piece(8 * MIB)
        assert not silent.task.done()
        await silent.piece(1)
        assert "XINFERENCE_MAX_FORM_BYTES" in (await silent.failed()).message


async def test_bodies_that_are_held_leave_no_room_for_another() -> None:
    async with serving() as server:
        held = server.upload()
        await held.piece(MIB + SMALL, last=True)
        announced = server.upload(MIB + SMALL + 1)
        await soon(announced.task)
        assert announced.status == 503
        assert (b"retry-after", b"1") in announced.sent[0]["headers"]
        assert b"1.0 MiB of other requests" in announced.sent[1]["body"]
        silent = server.upload()
        await silent.piece(MIB + SMALL)
        assert not silent.task.done()
        await silent.piece(1)
        failure = await silent.failed()
        assert isinstance(failure, Unavailable)
        assert failure.code == "overloaded"
        assert "XINFERENCE_MAX_HELD_BYTES" in failure.message


async def test_a_body_is_held_until_its_request_is_answered_or_has_failed() -> None:
    async with serving() as server:
        held, failing = server.upload(), server.upload()
        await held.piece(MIB + SMALL, last=True)
        await failing.piece(SMALL + MIB // 2)
        failing.task.cancel()
        await asyncio.wait({failing.task})
        refused = server.upload()
        await refused.piece(SMALL + 2 * MIB)
        await refused.failed()
        server.answer.set()
        await soon(held.task)
        taken = server.upload()
        await taken.piece(SMALL + 2 * MIB, last=True)
        await soon(taken.task)


async def test_small_bodies_get_through_however_much_is_held() -> None:
    async with serving() as server:
        await server.upload().piece(2 * MIB + SMALL)
        for _ in range(10):
            small = server.upload(SMALL)
            await small.piece(SMALL)
            assert not small.task.done()


async def test_a_body_that_is_alone_may_be_larger_than_all_together() -> None:
    async with serving(limit_held=MIB) as server:
        alone = server.upload(4 * MIB)
        await alone.piece(4 * MIB)
        assert not alone.task.done()
