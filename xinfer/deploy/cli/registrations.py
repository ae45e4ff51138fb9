"""`registrations`, `register` and `unregister`: what can be launched by name."""

from __future__ import annotations

import json
from pathlib import Path

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


_type_option = click.option(
    "--model-type",
    "-t",
    type=click.Choice(list(_COLUMNS)),
    default="LLM",
    show_default=True,
    help="Type of the model.",
)


@click.command()
@_type_option
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


@click.command()
@_type_option
@click.option(
    "--file",
    "-f",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="File with the model's description, as JSON.",
)
@click.option("--worker-ip", "-w", help="Not supported: each machine has to have the files.")
@click.option("--persist", "-p", is_flag=True, help="Know the model after a restart of the server.")
@with_client
def register(
    client: Client, model_type: str, file: Path, worker_ip: str | None, persist: bool
) -> None:
    """Describe a model of your own, to launch it by its name."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.FileError(str(file), str(error)) from error
    client.register_model(model_type, text, persist, worker_ip)


@click.command()
@_type_option
@click.option("--model-name", "-n", required=True, help="Name that the model was registered under.")
@with_client
def unregister(client: Client, model_type: str, model_name: str) -> None:
    """Forget a model of your own; where it runs, it goes on."""
    client.unregister_model(model_type, model_name)
