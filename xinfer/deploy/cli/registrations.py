"""`registrations`: what can be launched by name."""

from __future__ import annotations

import json

import click

from xinfer.client import Client
from xinfer.deploy.cli.connection import with_client
from xinfer.deploy.cli.models import format_option
from xinfer.deploy.cli.table import table

# For each type of model, its further columns and the fields that fill them.
_COLUMNS = {
    "LLM": {"Language": "model_lang", "Ability": "model_ability"},
    "embedding": {"Language": "language", "Dimensions": "dimensions"},
    "rerank": {"Language": "language"},
    "image": {"Family": "model_family"},
    "audio": {"Family": "model_family", "Multilingual": "multilingual"},
    "video": {"Family": "model_family"},
    "flexible": {},
}


@click.command()
@click.option(
    "--model-type", "-t", type=click.Choice(list(_COLUMNS)), default="LLM", show_default=True
)
@format_option
@with_client
def registrations(client: Client, model_type: str, output: str) -> None:
    """List the models that can be launched by name."""
    models = client.list_model_registrations(model_type, detailed=True)
    if output == "json":
        click.echo(json.dumps(models, ensure_ascii=False, indent=2))
        return
    columns = _COLUMNS[model_type]
    rows = [
        [model_type, model["model_name"], *map(model.get, columns.values()), model["is_builtin"]]
        for model in models
    ]
    if rows:
        click.echo(table(["Type", "Name", *columns, "Is-built-in"], rows))
    else:
        click.echo(f"No model of type {model_type} is registered.", err=True)
