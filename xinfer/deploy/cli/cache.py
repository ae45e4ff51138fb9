"""`cached`, `remove-cache`: what has been downloaded to the workers."""

from __future__ import annotations

import json

import click

from xinfer.client import Client
from xinfer.deploy.cli.connection import with_client
from xinfer.deploy.cli.models import format_option
from xinfer.deploy.cli.progress import size
from xinfer.deploy.cli.table import table


@click.command()
@click.option("--model_name", "--model-name", "-n", "model_name", help="Only this model.")
@click.option("--worker-ip", help="Only this worker, by host or address.")
@format_option
@with_client
def cached(client: Client, model_name: str | None, worker_ip: str | None, output: str) -> None:
    """List the models that have been downloaded to the workers, what was used last first."""
    models = client.list_cached_models(model_name, worker_ip)
    if output == "json":
        click.echo(json.dumps(models, ensure_ascii=False, indent=2))
        return
    if not models:
        click.echo("There are no cache files.", err=True)
        return
    rows = [
        [
            each["model_version"],
            f"{each['model_hub']}: {each['model_id']}",
            size(each["size_bytes"]),
            each["actor_ip_address"],
            each["path"],
        ]
        for each in models
    ]
    click.echo(table(["Version", "Repository", "Size", "Worker", "Path"], rows))


@click.command("remove-cache")
@click.option(
    "--model_version",
    "--model-version",
    "-n",
    "model_version",
    required=True,
    help="A version that `cached` lists, a model's name, or a repository.",
)
@click.option("--worker-ip", help="Only this worker, by host or address.")
@click.option("--check", is_flag=True, help="Do not ask before it is removed.")
@with_client
def remove_cache(client: Client, model_version: str, worker_ip: str | None, check: bool) -> None:
    """Remove a model that has been downloaded from the disks of the workers."""
    paths = client.list_deletable_models(model_version, worker_ip)["paths"]
    for path in paths:
        click.echo(path)
    if check or click.confirm("Remove these files?", err=True):
        client.confirm_and_remove_model(model_version, worker_ip)
        click.echo(f"Removed {model_version}; files: {len(paths)}.")
