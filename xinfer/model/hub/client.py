"""HTTP towards a hub, and its refusals in our words."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from xinfer import __version__
from xinfer.errors import Forbidden, NotFound, RateLimited, Unavailable, XinferError
from xinfer.settings import Settings

if TYPE_CHECKING:
    import httpx

UNREACHABLE = "hub_unreachable"

_MAX_REDIRECTS = 5
_MAX_SAID = 200  # characters of a hub's own words in a message


class HubClient:
    """Requests to one hub. Proxies and certificates are taken from the environment, by httpx.

    Args:
        hub: its name, for messages.
        endpoint: its address.
        headers: what each request to it carries; a host that it redirects to gets no token.
    """

    def __init__(
        self, hub: str, endpoint: str, headers: Mapping[str, str], settings: Settings
    ) -> None:
        self.hub = hub
        self.endpoint = endpoint.rstrip("/")
        self._settings = settings
        self._resolved = False
        # Six megabytes, which a supervisor that asks no hub need not have.
        import httpx

        self._failures = (httpx.HTTPError, httpx.InvalidURL)
        self._http = httpx.Client(
            headers={"User-Agent": f"xinfer/{__version__}", **headers},
            timeout=httpx.Timeout(
                settings.download_stall_timeout, connect=settings.hub_detect_timeout
            ),
            follow_redirects=True,
            max_redirects=_MAX_REDIRECTS,
        )
        self.close = self._http.close

    @contextmanager
    def stream(
        self, url: str, headers: Mapping[str, str], about: str, page: str
    ) -> Iterator[httpx.Response]:
        """One answer of a hub, whose body is read in the context.

        Args:
            about: what is asked for, as the subject of a sentence: "Repository a/b".
            page: where a person sees it.

        Raises:
            NotFound, Forbidden, RateLimited: the hub says so.
            Unavailable: it does not answer, or not as a hub does; also in the context, when the
                body ends early.
        """
        if self._settings.offline:
            raise Unavailable(
                f"{self.hub} is not asked, for XINFERENCE_OFFLINE (or HF_HUB_OFFLINE) is set.",
                code=UNREACHABLE,
            )
        try:
            self._resolve()
            with self._http.stream("GET", url, headers=dict(headers)) as response:
                if response.status_code >= 400:
                    raise self._refusal(response, about, page)
                yield response
        except (*self._failures, OSError) as error:
            ours = isinstance(error, OSError)  # of a disk, say, that the body is written to
            if ours and not isinstance(error, (socket.gaierror, TimeoutError)):
                raise
            reason = str(error) or type(error).__name__
            raise Unavailable(
                f"{self.hub} cannot be reached at {self.endpoint}: {reason}.", code=UNREACHABLE
            ) from error

    def _resolve(self) -> None:
        """Find the host's address within the time that a connection may take: the resolver itself
        goes on for much longer where no server of names answers."""
        if self._resolved:
            return
        parts = urlsplit(self.endpoint)
        host, port = parts.hostname or "", parts.port or 443
        proxies = urllib.request.getproxies()
        proxied = proxies.get(parts.scheme) or proxies.get("all")
        if not proxied or urllib.request.proxy_bypass(host):
            outcome: list[OSError | None] = []

            def look() -> None:
                try:
                    socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                    outcome.append(None)
                except OSError as error:
                    outcome.append(error)

            looking = threading.Thread(target=look, name=f"resolve {host}", daemon=True)
            looking.start()
            looking.join(self._settings.hub_detect_timeout)
            if not outcome:
                raise TimeoutError(
                    f"the address of {host} is not known after "
                    f"{self._settings.hub_detect_timeout:g} s"
                )
            if outcome[0] is not None:
                raise outcome[0]
        self._resolved = True

    def _refusal(self, response: httpx.Response, about: str, page: str) -> XinferError:
        status = response.status_code
        code = response.headers.get("X-Error-Code", "")
        said = response.headers.get("X-Error-Message", "")[:_MAX_SAID]
        said = f" ({said.rstrip('.')})" if said else ""
        if code == "RevisionNotFound":
            return NotFound(
                f"{about} is not there on {self.hub} in this revision{said}.",
                code="revision_not_found",
            )
        if code == "EntryNotFound":
            return NotFound(f"{about} is not there on {self.hub}{said}.", code="file_not_found")
        # A hub tells a stranger of a private repository and of none in the same words.
        if status == 404 or code == "RepoNotFound":
            return NotFound(
                f"{about} is not on {self.hub}{said}. Check its name; one that is private needs a "
                f"token: set {self.token_variable}.",
                code="model_not_found",
            )
        if status in (401, 403):
            return Forbidden(
                f"{self.hub} does not let this server read {about}{said}. Accept its licence at "
                f"{page}, if it has one, and set {self.token_variable} to a token of an account "
                "that may read it.",
                code="hub_forbidden",
            )
        if status == 429:
            wait = retry_after(response)
            return RateLimited(
                f"{self.hub} takes no more requests from this address for now"
                + (f"; it says to wait {wait:g} s" if wait else "")
                + f". A token ({self.token_variable}) raises its limit.",
                code="hub_rate_limited",
                retry_after=wait,
            )
        return Unavailable(
            f"{self.hub} answers with status {status}{said}.",
            code=UNREACHABLE,
            retry_after=retry_after(response),
        )

    @property
    def token_variable(self) -> str:
        return "HF_TOKEN" if self.hub == "huggingface" else "MODELSCOPE_API_TOKEN"


def retry_after(response: httpx.Response) -> float | None:
    """Seconds that the answer asks to wait; None where it says nothing."""
    raw = response.headers.get("Retry-After", "")
    if raw.isdecimal():
        return float(raw)
    try:
        until = parsedate_to_datetime(raw)
        now = parsedate_to_datetime(response.headers["Date"])
    except (ValueError, TypeError, KeyError):
        return None
    return max(0.0, (until - now).total_seconds())
