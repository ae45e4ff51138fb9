"""What every client command shares: the server's address and key, and how failures are told."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec

import click
import httpx

from xinfer.client import APIConnectionError, APIError, Client, UnsupportedModelError

P = ParamSpec("P")

DEFAULT_ENDPOINT = "http://127.0.0.1:9997"


def with_client(command: Callable[Concatenate[Client, P], None]) -> Callable[..., None]:
    """Give a command the options --endpoint and --api-key, and a client made of them."""

    @click.option(
        "--endpoint",
        "-e",
        envvar="XINFERENCE_ENDPOINT",
        default=DEFAULT_ENDPOINT,
        show_default=True,
        show_envvar=True,
        help="Address of the server.",
    )
    @click.option(
        "--api-key", "-ak", envvar="XINFERENCE_API_KEY", show_envvar=True, help="Key for it."
    )
    @click.option(
        "--ssl-certfile",
        envvar="XINFERENCE_SSL_CERTFILE",
        show_envvar=True,
        help="Certificate (PEM) of a server with HTTPS, to be trusted by whatever address.",
    )
    @functools.wraps(command)
    def connected(
        endpoint: str,
        api_key: str | None,
        ssl_certfile: str | None,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        with _told_in_one_line(), _connect(endpoint, api_key, ssl_certfile) as client:
            command(client, *args, **kwargs)

    return connected


def model_uid_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """UID or --model-uid, which names a launched model."""

    @click.option("--model-uid", help="Uid of the model.")
    @click.argument("uid", required=False)
    @functools.wraps(function)
    def named(*args: Any, uid: str | None, model_uid: str | None, **kwargs: Any) -> None:
        if (uid is None) == (model_uid is None):
            raise click.UsageError("name one model, by its uid: UID, or --model-uid UID.")
        function(*args, model_uid=uid or model_uid, **kwargs)

    return named


def explain(error: APIError) -> str:
    """What went wrong and what to do about it."""
    if error.status == 401:
        return f"{error.detail} Pass the right one with --api-key (-ak) or XINFERENCE_API_KEY."
    return error.detail


def _what_to_do(detail: str) -> str:
    """About a server that cannot be spoken with, by how that failed."""
    if "WRONG_VERSION_NUMBER" in detail:
        return "It speaks HTTP and not HTTPS: give its address as http://…"
    if "CERTIFICATE_VERIFY_FAILED" in detail:
        return "Name the certificate that is to be trusted: --ssl-certfile FILE."
    if "Server disconnected" in detail:
        return "If it speaks HTTPS, give its address as https://…"
    return (
        "Start a server with `xinference-local`, or give the address of a running one with "
        "--endpoint (-e) or XINFERENCE_ENDPOINT."
    )


def _connect(endpoint: str, api_key: str | None, certificate: str | None) -> Client:
    # OpenAI's clients take the address with it.
    endpoint = endpoint.rstrip("/").removesuffix("/v1")
    https = endpoint.lower().startswith("https:")
    transport = _trusting(certificate) if certificate and https else None
    try:
        return Client(endpoint, api_key, transport=transport)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--endpoint") from error


def _trusting(certificate: str) -> httpx.HTTPTransport:
    from xinfer.core.tls import trusting

    try:
        return httpx.HTTPTransport(verify=trusting(certificate))
    except OSError as error:
        raise click.ClickException(
            f"The certificate {certificate} cannot be used: {error}."
        ) from None


@contextmanager
def _told_in_one_line() -> Iterator[None]:
    try:
        yield
    except APIConnectionError as error:
        raise click.ClickException(f"{error.detail}. {_what_to_do(error.detail)}") from error
    except APIError as error:
        raise click.ClickException(explain(error)) from error
    except UnsupportedModelError as error:
        raise click.ClickException(str(error)) from error
