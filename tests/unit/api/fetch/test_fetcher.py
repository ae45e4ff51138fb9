"""Fetching by URL: what is fetched, and what ends it early."""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import make_certificate
from tests.support.site import Detour, Site, response, running_site
from xinfer.api.fetch import Fetcher, Reference
from xinfer.errors import InvalidRequest, PayloadTooLarge, XinferError
from xinfer.settings import Settings

pytestmark = pytest.mark.anyio

PUBLIC, OTHER_PUBLIC = "93.184.216.34", "1.1.1.1"


def references(*urls: str) -> list[Reference]:
    return [Reference(url, f"messages[0].content[{n}]") for n, url in enumerate(urls)]


def internet(site: Site, *addresses: str, **settings: Any) -> tuple[Fetcher, Detour]:
    """A fetcher for which every name has these addresses, which lead to the site."""
    detour = Detour(site)
    found = list(addresses or (PUBLIC,))
    made = Fetcher(
        Settings(**{"fetch_timeout": 60.0, **settings}),
        resolve=lambda host, port: found,
        network=detour,
    )
    return made, detour


async def refusal(fetcher: Fetcher, *urls: str) -> XinferError:
    with pytest.raises(XinferError) as caught:
        await fetcher.fetch(references(*urls))
    return caught.value


async def test_bytes_come_in_the_order_of_their_urls() -> None:
    async def path(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(response(head.split()[1]))

    async with running_site(path) as site:
        fetcher, _ = internet(site)
        urls = [f"http://pictures.example/{name}?a=1#b" for name in "abcdefgh"]
        assert await fetcher.fetch(references(*urls)) == [
            f"/{name}?a=1".encode() for name in "abcdefgh"
        ]


async def test_a_request_says_no_more_than_it_has_to(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with running_site(response(b"x", "200 OK", "Set-Cookie: a=b")) as site:
        fetcher, detour = internet(site)
        await fetcher.fetch(references("http://pictures.example:81/a", "http://pictures.example/b"))
        assert sorted(detour.asked) == [(PUBLIC, 80), (PUBLIC, 81)]
        heads = sorted(site.requests)
    first = heads[0].split(b"\r\n")
    assert first[:2] == [b"GET /a HTTP/1.1", b"Host: pictures.example:81"]
    names = {line.partition(b":")[0] for line in first[1:-2]}
    assert names == {b"Host", b"User-Agent", b"Accept", b"Accept-Encoding", b"Connection"}


async def test_a_name_is_resolved_once_and_the_address_that_was_checked_is_used() -> None:
    """As one that changes its mind between a check and a connection would be caught by."""
    asked: list[str] = []

    def rebind(host: str, port: int) -> list[str]:
        asked.append(host)
        return [PUBLIC] if len(asked) == 1 else ["127.0.0.1"]

    async with running_site(response(b"x")) as site:
        detour = Detour(site)
        fetcher = Fetcher(Settings(), resolve=rebind, network=detour)
        assert await fetcher.fetch(references("http://rebound.example/")) == [b"x"]
        assert (asked, detour.asked) == (["rebound.example"], [(PUBLIC, 80)])
        error = await refusal(fetcher, "http://rebound.example/")
    assert isinstance(error, InvalidRequest)
    assert "no public address" in error.message
    assert len(detour.asked) == 1


async def test_a_host_with_one_private_address_among_others_is_refused() -> None:
    async with running_site(response(b"x")) as site:
        fetcher, detour = internet(site, PUBLIC, "10.0.0.1")
        assert (await refusal(fetcher, "http://a.example/")).code == "url_refused"
        assert detour.asked == []


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async with running_site(response(b"x")) as site:
        dead, answers = "127.0.0.2", "127.0.0.1"
        fetcher = Fetcher(
            Settings(fetch_private_networks=True), resolve=lambda host, port: [dead, answers]
        )
        assert await fetcher.fetch(references(f"http://a.example:{site.port}/")) == [b"x"]


async def test_addresses_of_the_machine_itself_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xinfer.api.fetch.guard.own_addresses", lambda: {PUBLIC})
    async with running_site(response(b"x")) as site:
        fetcher, detour = internet(site)
        assert "no public address" in (await refusal(fetcher, "http://a.example/")).message
        assert detour.asked == []


async def test_private_networks_are_fetched_from_where_that_is_allowed() -> None:
    async with running_site(response(b"x")) as site:
        url = f"http://127.0.0.1:{site.port}/"
        assert "no public address" in (await refusal(Fetcher(Settings()), url)).message
        assert site.connections == 0
        assert await Fetcher(Settings(fetch_private_networks=True)).fetch(references(url)) == [b"x"]


async def test_a_certificate_has_to_be_good_and_of_the_host(tmp_path: Path) -> None:
    made = make_certificate(tmp_path, host="pictures.example")
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(made.cert, made.key)
    async with running_site(response(b"x"), served) as site:
        trusting = Fetcher(
            Settings(),
            resolve=lambda host, port: [PUBLIC],
            network=Detour(site),
            trust=ssl.create_default_context(cafile=made.cert),
        )
        assert await trusting.fetch(references("https://pictures.example/")) == [b"x"]
        assert "ostname mismatch" in (await refusal(trusting, "https://other.example/")).message
        strict, _ = internet(site)
        assert "certificate" in (await refusal(strict, "https://pictures.example/")).message
        assert len(site.requests) == 1


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https:///a.png", "a host, and"),
        ("http:a.png", "a host, and"),
        ("http://user:secret@a.example/", "a user's name or password"),
        ("http://a.example:0/", "a port or none"),
        ("http://a.example:70000/", "a port or none"),
        ("http://a.example/\n", "is not a URL"),
        ("http://①②⑦.0.0.1/", "is not a URL"),
        ("http://xn--a/", "is not a URL"),
        ("http://a.example/" + "a" * 9000, "at most 8192 characters"),
        ("ftp://a.example/", "http or https"),
    ],
)
async def test_other_urls_are_refused_before_anything_is_connected_to(
    url: str, reason: str
) -> None:
    async with running_site(response(b"x")) as site:
        fetcher, detour = internet(site)
        error = await refusal(fetcher, "http://good.example/", url)
        assert reason in error.message
        assert (error.param, error.code) == ("messages[0].content[1]", "url_refused")
        assert "secret" not in error.message
        assert detour.asked == []


async def test_redirects_are_not_followed_by_default() -> None:
    async with running_site(response(b"", "302 Found", "Location: http://b.example/")) as site:
        fetcher, detour = internet(site)
        assert "is redirected" in (await refusal(fetcher, "http://a.example/")).message
        assert len(detour.asked) == 1


async def test_redirects_are_followed_as_often_as_is_allowed_and_each_is_checked() -> None:
    async def lead_on(head: bytes, writer: asyncio.StreamWriter) -> None:
        to = {
            b"/1": "http://b.example/2",
            b"/2": "3",
            b"/private": "http://intranet.example/",
            b"/file": "file:///etc/passwd",
            b"/listed": "http://unlisted.test/",
        }.get(head.split()[1])
        moved = response(b"", "307 Moved", f"Location: {to}")
        writer.write(response(b"x") if to is None else moved)

    addresses = {"intranet.example": ["10.0.0.1"]}
    async with running_site(lead_on) as site:
        detour = Detour(site)

        def fetcher(redirects: int, domains: str = "") -> Fetcher:
            return Fetcher(
                Settings(fetch_redirects=redirects, fetch_allowed_domains=domains),
                resolve=lambda host, port: addresses.get(host, [PUBLIC]),
                network=detour,
            )

        assert await fetcher(2).fetch(references("http://a.example/1")) == [b"x"]
        assert "follows 1 times" in (await refusal(fetcher(1), "http://a.example/1")).message
        asked = len(detour.asked)
        for path, reason in {"private": "no public address", "file": "http or https"}.items():
            error = await refusal(fetcher(2), f"http://a.example/{path}")
            assert reason in error.message
        narrow = fetcher(2, "a.example")
        assert "'unlisted.test'" in (await refusal(narrow, "http://a.example/listed")).message
        assert len(detour.asked) == asked + 3


async def test_https_is_not_left_by_a_redirect(tmp_path: Path) -> None:
    made = make_certificate(tmp_path, host="a.example")
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(made.cert, made.key)
    moved = response(b"", "302 Found", "Location: http://a.example/")
    async with running_site(moved, served) as site:
        fetcher = Fetcher(
            Settings(fetch_redirects=3),
            resolve=lambda host, port: [PUBLIC],
            network=Detour(site),
            trust=ssl.create_default_context(cafile=made.cert),
        )
        assert "from https" in (await refusal(fetcher, "https://a.example/")).message
        assert site.connections == 1


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("a.example", True),
        ("A.EXAMPLE", True),
        ("x.b.example", True),
        ("b.example", False),
        ("xa.example", False),
        ("a.example.evil.test", False),
        ("x.a.example", False),
    ],
)
async def test_only_domains_on_the_list_are_asked(host: str, allowed: bool) -> None:
    async with running_site(response(b"x")) as site:
        fetcher, detour = internet(site, fetch_allowed_domains="a.example, *.b.example")
        if allowed:
            assert await fetcher.fetch(references(f"http://{host}/")) == [b"x"]
        else:
            message = (await refusal(fetcher, f"http://{host}/")).message
            assert "XINFERENCE_FETCH_ALLOWED_DOMAINS" in message
        assert len(detour.asked) == allowed


async def test_the_number_of_urls_is_bounded_and_with_0_none_is_fetched() -> None:
    async with running_site(response(b"x")) as site:
        fetcher, detour = internet(site, fetch_max_urls=2)
        error = await refusal(fetcher, *3 * ["http://a.example/"])
        assert isinstance(error, PayloadTooLarge)
        assert error.param == "messages[0].content[2]"
        off, _ = internet(site, fetch_max_urls=0)
        assert "switched that off" in (await refusal(off, "http://a.example/")).message
        assert detour.asked == []


async def test_a_body_without_an_end_is_left_when_it_is_too_large() -> None:
    async def endless(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"4000\r\n" + bytes(0x4000) + b"\r\n")
            await writer.drain()

    async with running_site(endless) as site:
        fetcher, _ = internet(site, fetch_max_bytes=100_000, fetch_timeout=60.0)
        error = await refusal(fetcher, "http://a.example/")
        assert isinstance(error, PayloadTooLarge)
        assert "more than 100000 bytes" in error.message
        await asyncio.wait_for(site.hung_up.wait(), 30)


async def test_the_size_of_all_is_bounded_whatever_they_say_it_is() -> None:
    short = b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + bytes(60)
    async with running_site(short) as site:
        fetcher, _ = internet(site, fetch_max_bytes=100)
        assert await fetcher.fetch(references("http://a.example/")) == [bytes(40)]
        assert isinstance(await refusal(fetcher, *3 * ["http://a.example/"]), PayloadTooLarge)
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 4000000000\r\n\r\n" + bytes(60)
    async with running_site(long) as site:
        fetcher, _ = internet(site, fetch_max_bytes=100)
        error = await refusal(fetcher, "http://a.example/")
        assert error.code == "url_not_fetched"
        assert "breaks off" in error.message


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1"])
async def test_what_does_not_come_in_time_is_left(head: bytes) -> None:
    async def stall(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await asyncio.Event().wait()

    async with running_site(stall) as site:
        fetcher, _ = internet(site, fetch_timeout=0.3)
        error = await refusal(fetcher, "http://a.example/")
        assert isinstance(error, InvalidRequest)
        assert "within 0.3 seconds" in error.message
        assert error.param == "messages[0].content[0]"


async def test_a_name_that_is_resolved_slowly_counts_against_the_time() -> None:
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(host: str, port: int) -> list[str]:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        return [PUBLIC]

    async with running_site(response(b"x")) as site:
        fetcher = Fetcher(Settings(fetch_timeout=0.1), resolve=slow, network=Detour(site))
        try:
            assert "within 0.1" in (await refusal(fetcher, "http://a.example/")).message
        finally:
            release.set()
        assert site.connections == 0


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (response(b"no", "404 Not Found"), "status 404"),
        (response(b"", "204 No Content"), "status 204"),
        (response(b"x", "200 OK", "Content-Encoding: gzip"), "compresses"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not HTTP"),
        (b"", "breaks off"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100_000 + b"\r\n", "not HTTP"),
    ],
)
async def test_other_answers_are_refused(answer: bytes, reason: str) -> None:
    async with running_site(answer) as site:
        fetcher, _ = internet(site)
        error = await refusal(fetcher, "http://a.example/")
        assert reason in error.message
        assert error.code == "url_not_fetched"


async def test_the_first_failure_ends_the_others() -> None:
    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        if b"/fails" in head:
            writer.write(response(b"", "500 Broken"))
            return
        await asyncio.Event().wait()

    async with running_site(answer) as site:
        fetcher, _ = internet(site, fetch_timeout=60.0)
        error = await refusal(fetcher, "http://a.example/stalls", "http://a.example/fails")
        assert "status 500" in error.message
        assert error.param == "messages[0].content[1]"


async def test_a_caller_who_leaves_ends_the_fetch() -> None:
    async def stall(head: bytes, writer: asyncio.StreamWriter) -> None:
        started.set()
        await asyncio.Event().wait()

    started = asyncio.Event()
    async with running_site(stall) as site:
        fetcher, _ = internet(site, fetch_timeout=60.0)
        task = asyncio.create_task(fetcher.fetch(references("http://a.example/")))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(site.hung_up.wait(), 30)


FIRST_FETCH = """
import asyncio, sys, threading
import xinfer.api.app
from xinfer.api.fetch import Fetcher, Reference
from xinfer.settings import Settings

found = []

class Spy:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is threading.main_thread():
            found.append(name)

async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 1\\r\\n\\r\\nx")
    writer.close()

async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    fetcher = Fetcher(Settings(fetch_private_networks=True))
    assert "httpx" not in sys.modules
    sys.meta_path.insert(0, Spy())
    data = await fetcher.fetch([Reference(f"http://127.0.0.1:{port}/", "image")])
    assert data == [b"x"], data
    server.close()

asyncio.run(main())
print(found)
"""


async def test_what_fetching_needs_is_imported_off_the_event_loop() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FIRST_FETCH, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    assert process.returncode == 0
    assert told.decode().strip() == "[]"
