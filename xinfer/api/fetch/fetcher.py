"""GET of what requests name by URL, bounded in everything that a stranger decides."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

from xinfer import __version__
from xinfer.api.lifetime import cancel
from xinfer.errors import InvalidRequest, PayloadTooLarge
from xinfer.settings import Settings

if TYPE_CHECKING:
    import httpcore
    import httpx

    from xinfer.api.fetch.guard import Resolve

logger = logging.getLogger(__name__)

REFUSED, FAILED = "url_refused", "url_not_fetched"

MAX_URL_CHARS = 8192
_AT_ONCE = 4
"""URLs of one request that are fetched at the same time."""
_RESOLVERS = 8
"""Names resolved at the same time, by all requests."""
_SCHEMES = (b"http", b"https")
_REDIRECTS = (301, 302, 303, 307, 308)
_HEADERS = [
    (b"User-Agent", f"xinfer/{__version__}".encode()),
    (b"Accept", b"*/*"),
    (b"Accept-Encoding", b"identity"),  # what is unpacked here would have to be bounded twice
    (b"Connection", b"close"),
]


@dataclass(frozen=True)
class Reference:
    """Something that a request names by URL."""

    url: str
    where: str
    """The field or part that names it, for errors: messages[0].content[1]."""
    param: str | None = None
    """The same for `error.param`, where it is not the same."""

    def refused(self, why: str, code: str = REFUSED) -> InvalidRequest:
        """The error for it; `why` goes on after "The URL in …"."""
        return InvalidRequest(
            f"The URL in {self.where} {why}", code=code, param=self.param or self.where
        )


def is_remote(url: str) -> bool:
    """Whether a URL is one to fetch, by its scheme."""
    return url[:8].lower().startswith(("http:", "https:"))


class Fetcher:
    """What all routes fetch with, once for each application.

    Only http and https; only to public addresses, or where the settings allow them also to private
    ones; certificates are checked by host name; proxies of the environment are not used. Bytes are
    counted as they come. What a server says of the content is not looked at: whoever gets the bytes
    has to tell what they are.

    Args:
        resolve: a host's addresses, blocking; the system's resolver by default.
        network: what opens connections to addresses that were checked.
        trust: which certificates are good; certifi's, or those of SSL_CERT_FILE.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        resolve: Resolve | None = None,
        network: httpcore.AsyncNetworkBackend | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._resolve = resolve
        self._network = network
        self._trust = trust
        self._loaded = False
        self._domains = tuple(
            name.strip().lower()
            for name in settings.fetch_allowed_domains.split(",")
            if name.strip()
        )

    async def fetch(self, references: Sequence[Reference]) -> list[bytes]:
        """The bytes behind each; one deadline and one bound on their size for all of them.

        Raises:
            InvalidRequest: a URL is malformed, not allowed, or not answered with status 200 in
                time; names its place.
            PayloadTooLarge: too many URLs or bytes.
        """
        settings = self._settings
        if references and not settings.fetch_max_urls:
            raise references[0].refused(
                "is not fetched: this server's administrator has switched that off. Send the "
                "content in a data URL instead: data:image/png;base64,..."
            )
        if len(references) > settings.fetch_max_urls:
            raise PayloadTooLarge(
                f"The request names {len(references)} URLs; at most {settings.fetch_max_urls} are "
                "fetched for one. Send the others in data URLs.",
                param=references[settings.fetch_max_urls].where,
            )
        if not self._loaded:
            self._trust = await asyncio.to_thread(_load, self._trust)
            self._loaded = True
        urls = [self._checked(reference, reference.url) for reference in references]
        gate, budget = asyncio.Semaphore(_AT_ONCE), _Budget(settings.fetch_max_bytes)

        async def fetch(reference: Reference, url: httpx.URL) -> bytes:
            async with gate:
                return await self._follow(reference, url, budget)

        tasks = [
            asyncio.create_task(fetch(reference, url))
            for reference, url in zip(references, urls, strict=True)
        ]
        try:
            if tasks:
                await asyncio.wait(
                    tasks,
                    timeout=settings.fetch_timeout,
                    return_when=asyncio.FIRST_EXCEPTION,
                )
            errors = [task.exception() for task in tasks if task.done()]
            for error in filter(None, errors):
                raise error
            for reference, task in zip(references, tasks, strict=True):
                if not task.done():
                    raise reference.refused(
                        f"was not answered in full within {settings.fetch_timeout:g} seconds.",
                        FAILED,
                    )
            return [task.result() for task in tasks]
        finally:
            await cancel(*tasks)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        # Of its own: names that nobody answers for hold a thread for long.
        return ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="resolve")

    def _checked(self, reference: Reference, text: str) -> httpx.URL:
        """The URL, if it is one that may be fetched, by what it says itself."""
        import httpx

        try:
            if len(text) > MAX_URL_CHARS:
                raise ValueError
            url = httpx.URL(text)
            host = url.host  # is decoded here: what looks like a name in IDNA may be none
        except (httpx.InvalidURL, ValueError):
            raise reference.refused(
                f"is not a URL of at most {MAX_URL_CHARS} characters."
            ) from None
        port = 80 if url.port is None else url.port
        if url.raw_scheme not in _SCHEMES or not host or not 0 < port < 1 << 16:
            raise reference.refused("is not one with http or https, a host, and a port or none.")
        if url.userinfo:
            raise reference.refused("has a user's name or password, which is not sent.")
        if self._domains and not self._allows(url.raw_host.decode()):
            raise reference.refused(
                f"is at {host!r}, which is not among the domains that this server's "
                "administrator has allowed (XINFERENCE_FETCH_ALLOWED_DOMAINS)."
            )
        return url

    def _allows(self, host: str) -> bool:
        host = host.lower().rstrip(".")
        return any(
            host.endswith(domain[1:]) if domain.startswith("*.") else host == domain
            for domain in self._domains
        )

    async def _follow(self, reference: Reference, url: httpx.URL, budget: _Budget) -> bytes:
        """The bytes behind a URL, after as many redirects as the settings allow."""
        import httpcore
        import httpx

        from xinfer.api.fetch.guard import NoAddress

        for left in range(self._settings.fetch_redirects, -1, -1):
            try:
                found = await self._get(reference, url, budget)
            except NoAddress as error:
                logger.info("Not fetched for %s: %r: %s", reference.where, url.host, error)
                hint = "" if self._settings.fetch_private_networks else "public "
                raise reference.refused(
                    f"cannot be fetched: no {hint}address is known of {url.host!r}. Send what it "
                    "leads to instead, as a data URL."
                ) from None
            except (httpcore.TimeoutException, httpcore.NetworkError) as error:
                raise reference.refused(
                    f"cannot be fetched: {url.host!r} does not answer "
                    f"({str(error)[:200] or type(error).__name__}).",
                    FAILED,
                ) from None
            except httpcore.ProtocolError:
                raise reference.refused(
                    f"cannot be fetched: {url.host!r} breaks off, or sends what is not HTTP.",
                    FAILED,
                ) from None
            if isinstance(found, bytes):
                return found
            if not left:
                break
            try:
                after = url.join(found.location)
            except (httpx.InvalidURL, ValueError):
                raise reference.refused("is redirected to what is not a URL.", FAILED) from None
            if url.raw_scheme == b"https" and after.raw_scheme != b"https":
                raise reference.refused("is redirected from https to another scheme.")
            url = self._checked(reference, str(after))
        raise reference.refused(
            f"is redirected, which this server follows {self._settings.fetch_redirects} times. "
            "Send the URL that it leads to."
        )

    async def _get(
        self, reference: Reference, url: httpx.URL, budget: _Budget
    ) -> bytes | _Redirect:
        """One request, by a connection of its own."""
        import httpcore

        from xinfer.api.fetch.guard import GuardedBackend, resolve

        settings = self._settings
        backend = GuardedBackend(
            private=settings.fetch_private_networks,
            executor=self._pool,
            resolve=self._resolve or resolve,
            network=self._network,
        )
        target = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )
        # A third for a connection, so that an address that swallows it leaves time for the others.
        extensions = {"timeout": {"connect": settings.fetch_timeout / 3}}
        headers = [(b"Host", url.netloc), *_HEADERS]
        async with (
            httpcore.AsyncConnectionPool(ssl_context=self._trust, network_backend=backend) as pool,
            pool.stream("GET", target, headers=headers, extensions=extensions) as response,
        ):
            if response.status in _REDIRECTS:
                return _Redirect(_header(response, b"location"))
            if response.status != 200:
                raise reference.refused(
                    f"cannot be fetched: {url.host!r} answers with status {response.status}; "
                    "expected 200.",
                    FAILED,
                )
            if _header(response, b"content-encoding").lower() not in ("", "identity"):
                raise reference.refused(
                    f"cannot be fetched: {url.host!r} compresses its answer, unasked.", FAILED
                )
            data = bytearray()
            async for chunk in response.aiter_stream():
                budget.take(len(chunk), reference)
                data += chunk
            return bytes(data)


@dataclass(frozen=True)
class _Redirect:
    location: str


class _Budget:
    """Bytes that are left to a request."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most

    def take(self, count: int, reference: Reference) -> None:
        self._left -= count
        if self._left < 0:
            raise PayloadTooLarge(
                f"What the request names by URL has more than {self._most} bytes, which is all "
                f"that is fetched for one; {reference.where} was not read to its end.",
                param=reference.param or reference.where,
            )


def _header(response: httpcore.Response, name: bytes) -> str:
    found = (value for key, value in response.headers if key.lower() == name)
    return next(found, b"").decode("latin-1")


def _load(trust: ssl.SSLContext | None) -> ssl.SSLContext:
    """What fetching needs, with the first fetch: it takes a while, and some MiB."""
    import anyio._backends._asyncio  # noqa: F401
    import httpcore  # noqa: F401

    import xinfer.api.fetch.guard  # noqa: F401

    return trust or _default_trust()


@cache
def _default_trust() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()
