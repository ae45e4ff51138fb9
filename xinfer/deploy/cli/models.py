"""`list`, `terminate`, `cancel` and `logs`: what runs on the server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from xinfer.client import Client
from xinfer.deploy.cli.connection import model_uid_option, with_client
from xinfer.deploy.cli.table import table

# For each type of model, its further columns and the fields that fill them.
_COLUMNS = {
    "LLM": {
        "Format": "model_format",
        "Size (in billions)": "model_size_in_billions",
        "Quantization": "quantization",
    },
    "embedding": {"Dimensions": "dimensions"},
    "rerank": {},
    "image": {"Controlnet": "controlnet"},
    "audio": {},
    "video": {},
    "flexible": {},
}


def format_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """--format, of commands that list things."""
    return click.option(
        "--format",
        "output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="json prints everything that the server says about each model.",
    )(function)


@click.command("list")
@format_option
@with_client
def list_models(client: Client, output: str) -> None:
    """List the running models."""
    models = client.list_models()
    if output == "json":
        click.echo(json.dumps(list(models.values()), ensure_ascii=False, indent=2))
        return
    for model_type, columns in _COLUMNS.items():
        rows = [
            [uid, model_type, model.get("model_name"), *map(model.get, columns.values())]
            for uid, model in models.items()
            if model.get("model_type") == model_type
        ]
        if rows:
            click.echo(table(["UID", "Type", "Name", *columns], rows) + "\n")
    if not models:
        click.echo("No model is running. Start one with `xinference launch -n NAME`.", err=True)


@click.command()
@model_uid_option
@with_client
def terminate(client: Client, model_uid: str) -> None:
    """Stop a model."""
    client.terminate_model(model_uid)


@click.command()
@model_uid_option
@with_client
def cancel(client: Client, model_uid: str) -> None:
    """Give up the launch of a model."""
    client.cancel_launch_model(model_uid)


@click.command()
@model_uid_option
@with_client
def logs(client: Client, model_uid: str) -> None:
    """Print the last lines that a model's replicas wrote."""
    replicas = client.get_model_logs(model_uid)
    for replica in replicas:
        if len(replicas) > 1:
            click.echo(f"==> replica {replica['replica_id']} <==")
        for line in replica["lines"]:
            click.echo(line)
