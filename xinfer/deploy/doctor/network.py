"""The hubs that models come from, and a server that runs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx

from xinfer.client import APIConnectionError, APIError, Client
from xinfer.deploy.doctor.finding import Finding, State
from xinfer.settings import Settings


def examine_hubs(settings: Settings) -> Iterator[Finding]:
    """Whether each hub answers; a mirror counts as its hub."""
    if settings.offline:
        yield Finding("hubs", State.ABSENT, "not asked: XINFERENCE_OFFLINE is set")
        return
    hubs = {"HuggingFace": settings.hf_endpoint, "ModelScope": settings.modelscope_endpoint}
    with ThreadPoolExecutor(len(hubs)) as pool:
        reasons = list(
            pool.map(lambda url: _unreachable(url, settings.hub_detect_timeout), hubs.values())
        )
    some = not all(reasons)
    for (name, url), reason in zip(hubs.items(), reasons, strict=True):
        if not reason:
            yield Finding("hubs", State.OK, f"{name} at {url}")
        else:
            # One hub is enough.
            state = State.ABSENT if some else State.FAULT
            yield Finding(
                "hubs", state, f"{name} at {url} is out of reach: {reason}", _mirror(name)
            )


def _mirror(name: str) -> str:
    variable = "HF_ENDPOINT" if name == "HuggingFace" else "MODELSCOPE_ENDPOINT"
    return (
        f"set HTTPS_PROXY, or {variable} to a mirror; files of your own need no hub: --model-path"
    )


def _unreachable(url: str, timeout: float) -> str:
    try:
        httpx.head(url, timeout=timeout, follow_redirects=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return str(error) or type(error).__name__
    return ""


def examine_server(endpoint: str, api_key: str | None) -> Iterator[Finding]:
    """The server that commands of this shell talk to, if one runs."""
    try:
        with Client(endpoint, api_key) as client:
            models = client.list_models()
    except APIConnectionError:
        yield Finding("server", State.ABSENT, f"none at {endpoint}", "xinference-local starts one")
        return
    except APIError as error:
        fix = "pass the key with --api-key" if error.status == 401 else ""
        yield Finding("server", State.FAULT, f"{endpoint} answers: {error.detail}", fix)
        return
    failed = [uid for uid, model in models.items() if model.get("status") == "ERROR"]
    yield Finding("server", State.OK, f"{endpoint}: {len(models)} model(s)")
    for uid in failed:
        fix = f"xinference logs {uid}, then xinference terminate {uid}"
        yield Finding("server", State.FAULT, f"model {uid} has failed", fix)
