"""Large answers: out of memory until they are sent, and as they were put together."""

from __future__ import annotations

import asyncio
import base64
import errno
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from xinfer.api.spool import IN_MEMORY, Spool, SpooledAnswer, Stretch
from xinfer.errors import Unavailable

pytestmark = pytest.mark.anyio

MIB = 1 << 20


def read(spool: Spool, stretch: Stretch) -> bytes:
    return b"".join(spool.pieces(stretch))


async def sent(answer: SpooledAnswer) -> tuple[dict[bytes, bytes], bytes]:
    """Headers and body."""
    messages: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()

    await answer({"type": "http"}, receive, send)
    start, *body = messages
    assert [one["more_body"] for one in body] == [True] * (len(body) - 1) + [False]
    return dict(start["headers"]), b"".join(one["body"] for one in body)


@pytest.mark.parametrize("size", [10, IN_MEMORY + 10])
async def test_what_is_added_can_be_read_by_its_place(size: int) -> None:
    spool = Spool()
    first, second = spool.add(b"a" * size), spool.add(b"bc")
    assert read(spool, first) == b"a" * size
    assert read(spool, second) == b"bc"
    third = spool.add(b"d")
    assert (third.start, spool.size) == (size + 2, size + 3)
    assert read(spool, third) == b"d"
    spool.close()


@pytest.mark.parametrize("size", [0, 1, 2, 3, 192 << 10, (192 << 10) + 1, MIB])
async def test_base64_of_any_length_is_in_one_piece(size: int) -> None:
    spool = Spool()
    data = bytes(number % 251 for number in range(size))
    spool.add(b"before")
    stretch = spool.add(data)._replace(base64=True)
    assert read(spool, stretch) == base64.b64encode(data)
    assert stretch.length == len(base64.b64encode(data))
    spool.close()


async def test_memory_is_bounded_however_large_the_answer_is() -> None:
    spool, data = Spool(), bytes(MIB)
    tracemalloc.start()
    try:
        places = [spool.add(data) for _ in range(48)]
        for place in places:
            for piece in spool.pieces(place._replace(base64=True)):
                del piece
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        spool.close()
    assert peak < 4 * IN_MEMORY


async def test_an_answer_says_its_length_and_closes_its_spool() -> None:
    spool = Spool()
    stretch = spool.add(b"picture")._replace(base64=True)
    answer = SpooledAnswer(
        spool, [b'{"a":"', stretch, b'"}'], media_type="application/json", headers={"X-A": "b"}
    )
    headers, body = await sent(answer)
    assert body == b'{"a":"%b"}' % base64.b64encode(b"picture")
    assert headers[b"content-length"] == str(len(body)).encode()
    assert (headers[b"content-type"], headers[b"x-a"]) == (b"application/json", b"b")
    with pytest.raises(ValueError, match="closed"):
        read(spool, stretch)


async def test_a_reader_that_breaks_off_closes_the_spool_too() -> None:
    spool = Spool()
    answer = SpooledAnswer(spool, [spool.add(b"x")], media_type="image/png", headers={})

    async def send(message: Any) -> None:
        raise OSError("it has gone")

    with pytest.raises(OSError, match="gone"):
        await answer({"type": "http"}, send, send)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="closed"):
        read(spool, Stretch(0, 1))


async def test_a_file_can_be_answered_with(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"file")
    spool = Spool((tmp_path / "a").open("rb"))
    answer = SpooledAnswer(spool, [Stretch(0, spool.size)], media_type="image/png", headers={})
    assert (await sent(answer))[1] == b"file"


async def test_a_file_that_is_cut_short_meanwhile_is_not_read_for_ever(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a file")
    spool = Spool((tmp_path / "a").open("rb"))
    (tmp_path / "a").write_bytes(b"a")
    with pytest.raises(OSError, match="ends 5 bytes before"):
        read(spool, Stretch(0, spool.size))
    spool.close()


async def test_what_is_added_after_the_end_goes_nowhere() -> None:
    spool = Spool()
    spool.close()
    spool.add(b"late")
    spool.close()
    assert spool.size == 0


async def test_a_full_disk_is_told() -> None:
    class Full:
        closed = False

        def seek(self, *_: int) -> int:
            return 0

        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(Unavailable, match="No space left") as refused:
        Spool(Full()).add(b"x")  # type: ignore[arg-type]
    assert refused.value.code == "no_capacity"
