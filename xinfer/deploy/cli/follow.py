"""Following a launch until the model is ready or has failed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import click

from xinfer.client import APIConnectionError, APIError, Client
from xinfer.deploy.cli.progress import Display, describe_download, open_display

Instance = dict[str, Any]
"""A deployment, as `get_instance_info` gives it."""

_INTERVAL = 0.5
# How long a launch may be unknown (it was only just made), or the server away (it restarts).
_PATIENCE = 15.0
_LOG_LINES = 20


class LaunchFailed(Exception):
    """The model is not going to be ready; the message says why and what to do."""


def follow(
    client: Client, model_uid: str, sleep: Callable[[float], None] = time.sleep
) -> dict[str, Any]:
    """Show a launch's progress on stderr until the model is ready. Ctrl-C offers to cancel it.

    Returns:
        The instance, as the server describes it.

    Raises:
        LaunchFailed: the launch failed or was cancelled.
        APIError: the server is gone, or refuses to say.
    """
    while True:
        try:
            with open_display("Launching model") as display:
                return _wait_until(_serves, client, model_uid, display, sleep)
        except KeyboardInterrupt:
            if _asked_to_cancel(model_uid):
                client.cancel_launch_model(model_uid)
                raise LaunchFailed(f"the launch of {model_uid} was cancelled.") from None


def follow_replicas(
    client: Client, model_uid: str, count: int, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Show on stderr how far a model is that was scaled, until it has so many replicas, all of
    them ready, and no other. Ctrl-C leaves the change alone.

    Raises:
        LaunchFailed: a replica failed, or nobody waits any more.
        APIError: the server is gone, or refuses to say.
    """

    def is_scaled(instance: Instance) -> bool:
        states = [replica["state"] for replica in instance["replica_statuses"]]
        if "ERROR" in states:
            raise LaunchFailed(_failure(client, model_uid, instance))
        return instance["replica"] != count or states == ["READY"] * count

    try:
        with open_display("Scaling model") as display:
            _wait_until(is_scaled, client, model_uid, display, sleep)
    except KeyboardInterrupt:
        raise LaunchFailed(
            f"no longer following; {model_uid} goes on to {count} replica(s). "
            "See how far it is with `xinference ps`."
        ) from None


def _serves(instance: Instance) -> bool:
    return bool(instance["status"] == "READY")


def _wait_until(
    reached: Callable[[Instance], bool],
    client: Client,
    model_uid: str,
    display: Display,
    sleep: Callable[[float], None],
) -> Instance:
    heard = time.monotonic()
    seen = False
    while True:
        try:
            instance = _instance(client, model_uid)
            if instance is not None:
                heard, seen = time.monotonic(), True
                if reached(instance):
                    display.show(1.0, "ready")
                    return instance
                if instance["status"] == "ERROR":
                    raise LaunchFailed(_failure(client, model_uid, instance))
                progress = client.get_launch_model_progress(model_uid)
                files = progress.get("download_files")
                stage = describe_download(files) if files else progress["stage"]
                display.show(progress["progress"], stage)
            elif seen or time.monotonic() - heard > _PATIENCE:
                raise LaunchFailed(f"{model_uid} was terminated while it was being launched.")
        except APIError as error:
            if not _passing(error) or time.monotonic() - heard > _PATIENCE:
                raise
        sleep(_INTERVAL)


def _passing(error: APIError) -> bool:
    """Whether the server may only be restarting."""
    return isinstance(error, APIConnectionError) or error.status in {502, 503, 504}


def _instance(client: Client, model_uid: str) -> Instance | None:
    instances = client.get_instance_info(model_uid=model_uid)
    return next((each for each in instances if each["model_uid"] == model_uid), None)


def _failure(client: Client, model_uid: str, instance: Instance) -> str:
    messages = [replica.get("error_message") for replica in instance["replica_statuses"]]
    reasons = list(dict.fromkeys(filter(None, messages))) or ["the server gave no reason"]
    return "\n".join(
        [
            f"launching {model_uid} failed: {'; '.join(reasons)}",
            *_last_lines(client, model_uid),
            f"More of its log: `xinference logs --model-uid {model_uid}`. "
            f"Clear it away: `xinference terminate --model-uid {model_uid}`.",
        ]
    )


def _last_lines(client: Client, model_uid: str) -> list[str]:
    try:
        replicas = client.get_model_logs(model_uid)
    except APIError as error:
        return [f"Its log cannot be read: {error.detail}"]
    return [
        line
        for replica in replicas
        if replica["lines"]
        for line in [
            f"Last lines of replica {replica['replica_id']}:",
            *(f"  {line}" for line in replica["lines"][-_LOG_LINES:]),
        ]
    ]


def _asked_to_cancel(model_uid: str) -> bool:
    """Raises LaunchFailed if there is no answer: the user wants out, the launch goes on."""
    click.echo("\nDo you want to cancel model launching? (y/[n]): ", nl=False, err=True)
    try:
        return input().strip().lower() in {"y", "yes"}
    except (EOFError, KeyboardInterrupt):
        raise LaunchFailed(
            f"no longer following; the launch of {model_uid} goes on. "
            f"Give it up with `xinference cancel --model-uid {model_uid}`."
        ) from None
