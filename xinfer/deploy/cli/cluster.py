"""`workers`, `drain` and `stop-cluster`: the machines of a cluster."""

from __future__ import annotations

import json

import click

from xinfer.client import Client
from xinfer.deploy.cli.connection import with_client
from xinfer.deploy.cli.models import format_option
from xinfer.deploy.cli.table import table


@click.command()
@format_option
@with_client
def workers(client: Client, output: str) -> None:
    """List the workers, with their labels and how many models run on each."""
    found = client.get_workers_info()
    if output == "json":
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    if not found:
        click.echo("No worker is connected. Start one with `xinference-worker -e URL`.", err=True)
        return
    rows = [
        [
            worker["work-ip"],
            worker["state"],
            len(worker["models"]),
            ", ".join(f"{key}={value}" for key, value in sorted(worker["labels"].items())),
            worker["version"],
        ]
        for worker in found
    ]
    click.echo(table(["Address", "State", "Replicas", "Labels", "Version"], rows))


@click.command()
@click.option(
    "--worker", required=True, help="Its address, as `xinference workers` lists it, or host."
)
@with_client
def drain(client: Client, worker: str) -> None:
    """Have a worker leave: its models are started elsewhere first, and then it stops."""
    client.drain_worker(worker)
    click.echo(f"Worker {worker} stops once other workers serve what it runs.", err=True)


@click.command("stop-cluster")
@click.option("--check", is_flag=True, help="Do not ask whether that is meant.")
@with_client
def stop_cluster(client: Client, check: bool) -> None:
    """Stop the supervisor and all workers; running requests may finish."""
    if not check:
        count = len(client.get_workers_info())
        click.confirm(
            f"This ends the cluster and all models on its {count} worker(s). Go on?", abort=True
        )
    client.abort_cluster()
    click.echo(
        "The cluster stops: running requests may finish, and then all processes end.", err=True
    )
