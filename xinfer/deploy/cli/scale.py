"""`scale` and `ps`: how many replicas a model has, and what each model runs on."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import click

from xinfer.client import APIError, Client
from xinfer.deploy.cli.connection import model_uid_option, with_client
from xinfer.deploy.cli.follow import LaunchFailed, follow_replicas
from xinfer.deploy.cli.models import format_option
from xinfer.deploy.cli.table import table

_MIB, _GIB = 1 << 20, 1 << 30


@click.command()
@model_uid_option
@click.option("--replica", "-r", type=int, help="Replicas that the model is to have in all.")
@click.option("--max-queue", type=int, help="Requests that may wait for a slot, in all replicas.")
@click.option(
    "--request-limits", type=int, help="Requests at once, running and waiting; 0 for no limit."
)
@click.option("--no-wait", is_flag=True, help="Return before new replicas are ready.")
@with_client
def scale(
    client: Client,
    model_uid: str,
    replica: int | None,
    max_queue: int | None,
    request_limits: int | None,
    no_wait: bool,
) -> None:
    """Change how many replicas a model has, and how many requests may wait for it or be in it."""
    if replica is None and max_queue is None and request_limits is None:
        raise click.UsageError("give --replica, --max-queue or --request-limits, with a number.")
    scaled = client.scale_model(model_uid, replica, max_queue, request_limits)
    if not no_wait:
        try:
            follow_replicas(client, model_uid, scaled["replica"])
        except LaunchFailed as error:
            raise click.ClickException(str(error)) from error
    limit = scaled.get("request_limits")
    click.echo(
        f"{model_uid}: {scaled['replica']} replica(s), {scaled['max_queue']} requests may wait"
        + (f", at most {limit} at once" if limit else "")
    )


@click.command()
@format_option
@with_client
def ps(client: Client, output: str) -> None:
    """List all models, also those that load or have failed, and what they run on."""
    found = [
        {**instance, "replica_statuses": _replicas(client, instance)}
        for instance in client.get_instance_info()
    ]
    if output == "json":
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    if not found:
        click.echo("No model is running. Start one with `xinference launch -n NAME`.", err=True)
        return
    headers = ["UID", "State", "Ready", "Devices", "Memory", "Running", "Waiting", "Restarts"]
    click.echo(table(headers, [_row(instance) for instance in found]))
    for instance in found:
        for note in _notes(instance):
            click.echo(note)


def _replicas(client: Client, instance: dict[str, Any]) -> list[dict[str, Any]]:
    """With what each does just now; as they were a moment ago if the model has gone since."""
    try:
        return client.get_model_replicas(instance["model_uid"])
    except APIError as error:
        if error.status != 404:
            raise
        return list(instance["replica_statuses"])


def _row(instance: dict[str, Any]) -> list[object]:
    replicas = instance["replica_statuses"]
    ready = sum(each["state"] == "READY" for each in replicas)
    memory = sum(sum(each["devices"].values()) for each in replicas)
    waiting = sum(each.get("waiting", 0) for each in replicas)
    return [
        instance["model_uid"],
        instance["state"],
        f"{ready}/{instance['replica']}",
        _devices(replicas),
        f"{memory / _GIB:.1f} GiB" if memory >= _GIB else f"{memory / _MIB:.0f} MiB",
        sum(each.get("running", 0) for each in replicas),
        f"{waiting}/{instance['max_queue']}",
        sum(each["restarts"] for each in replicas),
    ]


def _devices(replicas: list[dict[str, Any]]) -> list[str]:
    """Worker by worker: `10.0.0.2 cuda:0 cuda:1`; how often, where several share them."""
    places = Counter(
        " ".join([each["worker_address"].rpartition(":")[0], *each["devices"]])
        for each in replicas
        if each["devices"]
    )
    return [place if count == 1 else f"{place} ({count}x)" for place, count in places.items()]


def _notes(instance: dict[str, Any]) -> list[str]:
    """Why replicas do not serve, once for each reason."""
    reasons: dict[str, list[int]] = {}
    for each in instance["replica_statuses"]:
        if each["state"] in ("READY", "DRAINING"):
            continue
        reason = each["error_message"] if each["state"] == "ERROR" else each["info"]
        reason = reason or each["info"] or each["error_message"]
        if reason:
            reasons.setdefault(reason, []).append(each["replica_id"])
    return [
        f"{instance['model_uid']}, replica {', '.join(map(str, numbers))}: {reason}"
        for reason, numbers in reasons.items()
    ]
