"""What goes to the server and comes back, as pure functions that both clients share."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx

from xinfer.client.errors import APIConnectionError, APIError

T = TypeVar("T")
JSON = dict[str, Any]


@dataclass(frozen=True)
class Call(Generic[T]):
    """One HTTP call: `doing` names it in errors, `result` picks its value from the JSON answer."""

    doing: str
    method: str
    path: str
    result: Callable[[Any], T]
    params: Mapping[str, str] | None = None
    body: Mapping[str, Any] | None = None
    form: Sequence[tuple[str, bytes | str]] | None = None
    """Fields of a form in place of a body; what is bytes is sent as a file."""
    raw: bool = False
    """Whether the answer is no JSON: `result` gets its bytes."""

    @property
    def content(self) -> dict[str, Any]:
        """httpx's arguments for what is sent."""
        if self.form is None:
            return {"json": self.body}
        return {
            "files": [
                (name, (name, value, "application/octet-stream"))
                if isinstance(value, bytes)
                else (name, (None, value))
                for name, value in self.form
            ]
        }

    @property
    def streams(self) -> bool:
        return self.body is not None and bool(self.body.get("stream"))


def cluster_auth() -> Call[bool]:
    """Whether the server wants a key."""
    return Call(
        "get cluster auth", "GET", "/v1/cluster/auth", result=lambda answer: bool(answer["auth"])
    )


def connection_options(base_url: str) -> dict[str, Any]:
    """httpx's options for a server; connecting is bounded, waiting for a model's answer is not.

    Raises:
        ValueError: `base_url` is not an http or https address.
    """
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{base_url!r} is not a server's address: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError(
            f"{base_url!r} is not a server's address: expected one like http://127.0.0.1:9997"
        )
    return {
        "base_url": url,
        "timeout": httpx.Timeout(None, connect=10.0),
        "limits": httpx.Limits(max_connections=None),
        # A proxy named in the environment cannot reach this machine's loopback.
        "trust_env": not _is_loopback(url.host),
    }


def auth_headers(response: httpx.Response, api_key: str | None) -> dict[str, str]:
    """The headers that the answer to `cluster_auth` asks for; a server without that route
    wants none.

    Raises:
        APIError: the server could not say.
    """
    if response.status_code == 404:
        return {}
    wanted = read_response(cluster_auth(), response)
    return {"Authorization": f"Bearer {api_key}"} if wanted and api_key else {}


def read_response(call: Call[T], response: httpx.Response) -> T:
    """The call's result, from a response that was read to its end.

    Raises:
        APIError: the server answered with an error, or with something else than was expected.
    """
    if response.is_error:
        raise response_error(call.doing, response)
    if call.raw:
        return call.result(response.content)
    try:
        return call.result(response.json() if response.content else None)
    except (ValueError, LookupError, TypeError) as error:
        raise APIError(
            call.doing,
            f"the answer of {response.url} is not the expected JSON ({error!r}): "
            f"is a model server listening there?",
            status=response.status_code,
        ) from error


def response_error(doing: str, response: httpx.Response) -> APIError:
    """The error that a response with a status of 400 or more means."""
    status = f"HTTP {response.status_code} {response.reason_phrase}"
    try:
        answer = response.json()
    except ValueError:
        answer = response.text
        if response.headers.get("Content-Type", "").startswith("text/html"):
            answer = (
                f"{response.url} answers with a page ({status}), as a proxy does or a server of "
                "another kind"
            )
    detail, code = _explain(answer)
    return APIError(
        doing,
        detail or status,
        status=response.status_code,
        code=code,
        request_id=response.headers.get("X-Request-Id"),
    )


def connection_error(
    doing: str, client: httpx.Client | httpx.AsyncClient, error: httpx.RequestError
) -> APIConnectionError:
    """The error that a failure of the connection means."""
    endpoint = str(client.base_url).rstrip("/")
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        detail = f"no server answers at {endpoint} ({error})"
    else:
        detail = f"{endpoint} closed the connection before it had answered ({error!r})"
    return APIConnectionError(doing, detail)


class EventReader:
    """Reads a server-sent event stream, fed with bytes as they arrive.

    Lines are split as bytes: text may hold characters (U+2028, form feed) that `str` counts
    as line ends.
    """

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._rest = b""
        self._done = False

    def feed(self, data: bytes) -> list[JSON]:
        """The events that `data` completes.

        Raises:
            APIError: the server sent an error instead of an event.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        events = []
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            payload = line[len(b"data:") :].strip()
            if payload == b"[DONE]":
                self._done = True
                continue
            events.append(self._parse(payload))
        return events

    def finish(self) -> None:
        """Called at the stream's end.

        Raises:
            APIError: the answer is not complete.
        """
        if not self._done:
            raise APIError(self._doing, "the stream ended before the answer was complete")

    def _parse(self, payload: bytes) -> JSON:
        try:
            event = json.loads(payload)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            raise APIError(
                self._doing, f"expected a JSON object in the stream, got {payload[:200]!r}"
            )
        if "error" in event:
            detail, code = _explain(event)
            raise APIError(self._doing, detail, code=code)
        return event


def _explain(answer: Any) -> tuple[str, str | None]:
    """The message and the code in a server's error, whichever of its known shapes it has."""
    if not isinstance(answer, dict):
        return (answer if isinstance(answer, str) else json.dumps(answer)), None
    error = answer.get("error")
    fields = error if isinstance(error, dict) else {}
    detail = answer.get("detail") or fields.get("message") or error or answer
    code = fields.get("code") or fields.get("type")
    return (detail if isinstance(detail, str) else json.dumps(detail)), code


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
