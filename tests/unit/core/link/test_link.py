"""Links: frames arrive whole and in order, strangers are refused, an end is seen on both sides."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinfer.core.link import Link, LinkClosed, LinkServer, connect, serve
from xinfer.core.link.address import Address, parse_address
from xinfer.core.link.frames import KEEPALIVE, FrameDecoder, FrameTooLarge, encode_frame
from xinfer.core.security import new_token
from xinfer.errors import InvalidRequest
from xinfer.settings import Settings

pytestmark = pytest.mark.anyio
SETTINGS = Settings()


class Recorder:
    """Keeps what a link hands it; `until` waits for a number of frames."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._changed = asyncio.Event()

    def on_frame(self, link: Link, payload: bytes) -> None:
        self.frames.append(payload)
        self._changed.set()

    def on_lost(self, link: Link, reason: str) -> None:
        self.lost.set_result(reason)

    async def until(self, count: int) -> list[bytes]:
        while len(self.frames) < count:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 30)
        return self.frames


class Pair:
    """A served address whose links record what they get."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.recorders: list[Recorder] = []

    def accept(self, link: Link) -> Recorder:
        recorder = Recorder()
        self.links.append(link)
        self.recorders.append(recorder)
        return recorder


async def start(
    tmp_path: Path, token: bytes, settings: Settings = SETTINGS
) -> tuple[LinkServer, Pair]:
    pair = Pair()
    return await serve(f"unix:{tmp_path}/a.sock", token, pair.accept, settings), pair


@given(st.lists(st.binary(max_size=300), max_size=20), st.integers(1, 50))
def test_frames_survive_any_cutting_of_the_stream(payloads: list[bytes], cut: int) -> None:
    stream = b"".join(encode_frame(p) + KEEPALIVE for p in payloads)
    decoder = FrameDecoder(1000)
    frames = []
    for start_at in range(0, len(stream), cut):
        frames += decoder.feed(stream[start_at : start_at + cut])
    assert frames == [p for p in payloads if p]


def test_an_announced_length_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(FrameTooLarge, match="4294967295"):
        FrameDecoder(100).feed(b"\xff\xff\xff\xff")


async def test_frames_pass_both_ways_in_order(tmp_path: Path) -> None:
    token = new_token()
    server, pair = await start(tmp_path, token)
    here = Recorder()
    link = await connect(server.address, token, here, SETTINGS)
    for number in range(100):
        link.send(b"%d" % number)
    link.send(b"x" * 1_000_000)
    got = await pair.recorders[0].until(101)
    assert got[:100] == [b"%d" % n for n in range(100)]
    assert len(got[100]) == 1_000_000
    pair.links[0].send(b"back")
    assert await here.until(1) == [b"back"]
    await server.close()
    assert "closed" in await asyncio.wait_for(here.lost, 30)
    with pytest.raises(LinkClosed):
        link.send(b"late")


async def test_a_large_frame_right_behind_the_handshake_arrives(tmp_path: Path) -> None:
    token = new_token()
    greeting = b"x" * 100_000

    def accept(link: Link) -> Recorder:
        link.send(greeting)  # read by the peer in one piece with the end of the handshake
        return Recorder()

    server = await serve(f"unix:{tmp_path}/a.sock", token, accept, SETTINGS)
    here = Recorder()
    link = await connect(server.address, token, here, SETTINGS)
    assert await here.until(1) == [greeting]
    link.close()
    await server.close()


async def test_a_frame_over_the_limit_ends_the_link_after_those_before_it(tmp_path: Path) -> None:
    token = new_token()
    small = dataclasses.replace(SETTINGS, max_frame_bytes=1000)
    server, pair = await start(tmp_path, token, small)
    link = await connect(server.address, token, Recorder(), SETTINGS)
    link.send(b"small")
    link.send(b"x" * 1001)
    assert "1001 bytes" in await asyncio.wait_for(pair.recorders[0].lost, 30)
    assert pair.recorders[0].frames == [b"small"]
    link.close()
    await server.close()


async def test_a_peer_with_another_token_is_refused_and_told_so(tmp_path: Path) -> None:
    server, pair = await start(tmp_path, new_token())
    with pytest.raises(ConnectionError, match="token"):
        await connect(server.address, new_token(), Recorder(), SETTINGS)
    assert pair.links == []
    await server.close()


async def test_a_peer_that_says_nothing_is_dropped(tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, handshake_timeout=0.1)
    server, pair = await start(tmp_path, new_token(), settings)
    reader, writer = await asyncio.open_unix_connection(f"{tmp_path}/a.sock")
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()
    await writer.wait_closed()
    assert pair.links == []
    await server.close()


async def test_a_large_first_frame_is_refused_before_the_handshake(tmp_path: Path) -> None:
    server, pair = await start(tmp_path, new_token())
    reader, writer = await asyncio.open_unix_connection(f"{tmp_path}/a.sock")
    writer.write(encode_frame(b"x" * 10_000))
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()
    assert pair.links == []
    await server.close()


async def test_a_silent_peer_is_lost_after_the_deadline(tmp_path: Path) -> None:
    token = new_token()
    quick = dataclasses.replace(SETTINGS, link_ping_interval=0.02, link_deadline=0.2)
    mute = dataclasses.replace(SETTINGS, link_ping_interval=60.0)
    server, _ = await start(tmp_path, token, mute)
    here = Recorder()
    await connect(server.address, token, here, quick)
    assert "silent" in await asyncio.wait_for(here.lost, 30)
    await server.close()


async def test_keepalives_hold_an_idle_link(tmp_path: Path) -> None:
    token = new_token()
    quick = dataclasses.replace(SETTINGS, link_ping_interval=0.02, link_deadline=0.2)
    server, pair = await start(tmp_path, token, quick)
    here = Recorder()
    link = await connect(server.address, token, here, quick)
    done, _ = await asyncio.wait([here.lost, pair.recorders[0].lost], timeout=0.6)
    assert not done
    assert here.frames == []
    link.close()
    await server.close()


async def test_tcp_listens_on_loopback_only_unless_it_is_exposed() -> None:
    token = new_token()
    pair = Pair()
    anywhere = await serve("tcp:0.0.0.0:0", token, pair.accept, SETTINGS, exposed=True)
    await anywhere.close()
    with pytest.raises(InvalidRequest, match=r"0\.0\.0\.0"):
        await serve("tcp:0.0.0.0:0", token, pair.accept, SETTINGS)
    server = await serve("tcp:127.0.0.1:0", token, pair.accept, SETTINGS)
    link = await connect(server.address, token, Recorder(), SETTINGS)
    link.send(b"hello")
    assert await pair.recorders[0].until(1) == [b"hello"]
    assert link._transport is not None
    # A frame is a whole message: nothing is gained by waiting for more.
    connection = link._transport.get_extra_info("socket")
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    link.close()
    await server.close()


def test_addresses_round_trip_and_nonsense_is_refused() -> None:
    for address in (Address(path="/tmp/x.sock"), Address(host="127.0.0.1", port=9)):
        assert parse_address(str(address)) == address
    for nonsense in ("", "unix:", "tcp:9", "http://x", "tcp:host:port", "unix:" + "x" * 200):
        with pytest.raises(ValueError, match=r"address|longer"):
            parse_address(nonsense)


async def test_what_was_sent_before_the_close_still_arrives(tmp_path: Path) -> None:
    token = new_token()
    server, pair = await start(tmp_path, token)
    here = Recorder()
    await connect(server.address, token, here, SETTINGS)
    for _ in range(20):
        pair.links[0].send(b"x" * 500_000)
    await server.close()
    assert pair.recorders[0].lost.done()
    await asyncio.wait_for(here.lost, 30)
    assert [len(frame) for frame in here.frames] == [500_000] * 20


async def test_a_peer_that_reads_no_more_holds_up_the_close_for_a_while_only(
    tmp_path: Path,
) -> None:
    token = new_token()
    impatient = dataclasses.replace(SETTINGS, stop_timeout=0.05)
    server, pair = await start(tmp_path, token, impatient)
    here = Recorder()
    link = await connect(server.address, token, here, SETTINGS)
    assert link._transport is not None
    link._transport.pause_reading()
    pair.links[0].send(b"x" * 5_000_000)
    await asyncio.wait_for(server.close(), 30)
    assert pair.recorders[0].lost.done()
    link.close()


async def test_a_frame_the_peer_would_refuse_is_not_sent(tmp_path: Path) -> None:
    token = new_token()
    small = dataclasses.replace(SETTINGS, max_frame_bytes=1000)
    server, pair = await start(tmp_path, token, small)
    link = await connect(server.address, token, Recorder(), small)
    with pytest.raises(FrameTooLarge, match="1001"):
        link.send(b"x" * 1001)
    link.send(b"x" * 1000)
    assert await pair.recorders[0].until(1) == [b"x" * 1000]
    link.close()
    await server.close()


async def test_a_cancelled_connect_leaves_no_link_whenever_the_cancellation_comes(
    tmp_path: Path,
) -> None:
    token = new_token()
    server, pair = await start(tmp_path, token)
    connected = 0
    for turns in range(40):
        task = asyncio.create_task(connect(server.address, token, Recorder(), SETTINGS))
        for _ in range(turns):
            await asyncio.sleep(0)
        if task.done():
            task.result().close()
            connected += 1
            continue
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert 0 < connected < 40
    for recorder in pair.recorders:
        await asyncio.wait_for(recorder.lost, 30)
    await server.close()
