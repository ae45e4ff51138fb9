"""`engine`: which engines can run a model, and why the others cannot."""

from __future__ import annotations

import json

import click

from xinfer.client import Client
from xinfer.deploy.cli.connection import with_client
from xinfer.deploy.cli.launch import absolute_path
from xinfer.deploy.cli.models import format_option
from xinfer.deploy.cli.option_values import model_size
from xinfer.deploy.cli.table import table

_HEADERS = ["Name", "Engine", "Format", "Size (in billions)", "Quantization"]


@click.command()
@click.option("--model-name", "-n", required=True, help="As for launch.")
@click.option("--model-type", "-t", help="LLM, embedding, rerank, image or audio.")
@click.option("--model-engine", "-en", help="Only this engine.")
@click.option("--model-format", "-f", help="Only this format.")
@click.option("--model-size-in-billions", "-s", type=model_size, metavar="SIZE")
@click.option("--quantization", "-q", help="Only this quantization.")
@format_option
@with_client
def engine(
    client: Client,
    model_name: str,
    model_type: str | None,
    model_engine: str | None,
    model_format: str | None,
    model_size_in_billions: int | str | None,
    quantization: str | None,
    output: str,
) -> None:
    """List the engines that can run a model on this server, and why others cannot."""
    answers = client.query_engine_by_model_name(absolute_path(model_name), model_type)
    if model_engine is not None:
        wanted = model_engine.lower()
        answers = {name: one for name, one in answers.items() if name.lower() == wanted}
    if output == "json":
        click.echo(json.dumps(answers, ensure_ascii=False, indent=2))
        return
    size = None if model_size_in_billions is None else str(model_size_in_billions)
    rows = [
        [
            form["model_name"],
            name,
            form["model_format"],
            form["model_size_in_billions"],
            ", ".join(form["quantizations"]),
        ]
        for name, forms in answers.items()
        if not isinstance(forms, str)
        for form in forms
        if model_format is None or form["model_format"].lower() == model_format.lower()
        if size is None or str(form["model_size_in_billions"]).replace("_", ".") == _dotted(size)
        if quantization is None
        or quantization.lower() in [each.lower() for each in form["quantizations"]]
    ]
    if rows:
        click.echo(table(_HEADERS, rows))
    for name, reason in answers.items():
        if isinstance(reason, str):
            click.echo(f"{name}: {reason}", err=True)
    if not rows:
        raise click.ClickException(f"no engine here runs {model_name} in the form asked for.")


def _dotted(size: str) -> str:
    return size.replace("_", ".")
