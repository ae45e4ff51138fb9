"""Requests that would have the server fetch for them what they cannot reach themselves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.site import Detour, response, running_site
from tests.unit.api.fakes import Api, deployment
from xinfer.api.fetch import Fetcher
from xinfer.settings import Settings

pytestmark = pytest.mark.anyio

INSIDE = [
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://168.63.129.16/",
    "http://100.100.100.200/",
    "http://localhost:{port}/",
    "http://LOCALHOST.:{port}/",
    "http://127.0.0.1:{port}/",
    "http://127.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://[::]:{port}/",
    "http://[::1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://10.0.0.1/",
    "http://[::ffff:10.0.0.1]/",
    "http://172.16.0.1/",
    "http://192.168.0.1/",
    "http://[fe80::1%25lo]:{port}/",
    "http://224.0.0.1/",
    "http://public.example@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "file://localhost/etc/passwd",
    "gopher://127.0.0.1:{port}/_GET%20/",
    "dict://127.0.0.1:{port}/",
    "ftp://127.0.0.1:{port}/",
    "jar:http://127.0.0.1:{port}/!/",
    "//127.0.0.1:{port}/",
    "http:/\\127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@public.example/",
]


async def _ask(api: Api, url: str) -> Any:
    """The error that a picture at this URL is answered with."""
    part = {"type": "image_url", "image_url": {"url": url}}
    answer = await api.chat(messages=[{"role": "user", "content": [part]}])
    assert answer.status_code == 400, (url, answer.text)
    assert api.gateway.requests == []
    error = answer.json()["error"]
    assert error["param"] == "messages[0].content[0]"
    return error


async def test_s07_nothing_is_fetched_from_inside() -> None:
    api = Api(deployment(media=True))
    async with running_site(response(b"secret")) as site:
        for url in INSIDE:
            await _ask(api, url.format(port=site.port))
        assert site.connections == 0


async def test_s07_a_name_that_turns_inside_after_it_was_looked_up_is_of_no_use() -> None:
    turns = iter([["93.184.216.34"], ["127.0.0.1"], ["::ffff:127.0.0.1"], ["169.254.169.254"]])
    async with running_site(response(b"outside", "404 Not Found")) as site:
        detour = Detour(site)
        fetcher = Fetcher(Settings(), resolve=lambda host, port: next(turns), network=detour)
        api = Api(deployment(media=True), fetcher=fetcher)
        url = f"http://rebound.example:{site.port}/"
        assert "status 404" in (await _ask(api, url))["message"]
        for _ in range(3):
            assert "no public address" in (await _ask(api, url))["message"]
        assert detour.asked == [("93.184.216.34", site.port)]


@pytest.mark.parametrize("redirects", [0, 5])
async def test_s07_a_redirect_leads_not_inside(redirects: int) -> None:
    async def lead(head: bytes, writer: asyncio.StreamWriter) -> None:
        to = INSIDE[int(head.split()[1][1:])].format(port=inside.port)
        writer.write(response(b"", "302 Found", f"Location: {to}"))

    async with running_site(response(b"secret")) as inside, running_site(lead) as outside:
        fetcher = Fetcher(
            Settings(fetch_redirects=redirects),
            resolve=lambda host, port: (
                ["93.184.216.34"] if host == "outside.example" else ["127.0.0.1"]
            ),
            network=Detour(outside),
        )
        api = Api(deployment(media=True), fetcher=fetcher)
        for number in range(len(INSIDE)):
            await _ask(api, f"http://outside.example/{number}")
        assert inside.connections == 0
        assert outside.connections >= len(INSIDE)
