"""`pull`: a model onto the disk of this machine, without a server."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import click
import msgspec

from xinfer.deploy.cli.progress import describe_download, open_display
from xinfer.errors import InvalidRequest, XinferError
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.choose import choose
from xinfer.model.catalog.forms import examine, find_forms
from xinfer.model.catalog.remote import RemoteModels
from xinfer.model.catalog.select import select
from xinfer.model.catalog.surroundings import Surroundings
from xinfer.model.hub.cache import entry_at, repair, verify
from xinfer.model.hub.fetch import fetch
from xinfer.settings import Settings
from xinfer.types.deployment import LaunchSpec
from xinfer.types.model import FileProgress, ModelSpec


@click.command()
@click.argument("model")
@click.option("--model-format", "-f", help="ggufv2, pytorch, awq, …  [default: what runs here]")
@click.option("--quantization", "-q", help="Of those there are; without it, what suits this host.")
@click.option("--size-in-billions", "-s", type=float, help="For a name that has several sizes.")
@click.option("--download-hub", help="huggingface, modelscope or auto: the first that answers.")
@click.option("--verify", "check", is_flag=True, help="Read again what is here, and mend it.")
def pull(
    model: str,
    model_format: str | None,
    quantization: str | None,
    size_in_billions: float | None,
    download_hub: str | None,
    check: bool,
) -> None:
    """Download MODEL to this machine, without a server: a name as `launch` takes it, of the
    catalogue or of a repository on a hub. Prints the path.

    A download that was interrupted is continued. What is here already is compared with the hub's
    latest.
    """
    settings = Settings.from_env()
    spec = LaunchSpec(
        model_name=model,
        model_format=model_format,
        quantization=quantization,
        model_size_in_billions=size_in_billions,
        download_hub=download_hub,
    )
    try:
        wanted = _resolve(spec, settings)
        found = _fetch(wanted, settings)
        if check and _mend(Path(found.path), settings):
            found = _fetch(wanted, settings)
    except XinferError as error:
        raise click.ClickException(error.message) from None
    except KeyboardInterrupt:
        click.echo("Interrupted. What has come is kept: the next pull goes on with it.", err=True)
        os._exit(130)  # no thread that waits for the hub is waited for
    click.echo(found.path)


def _resolve(spec: LaunchSpec, settings: Settings) -> ModelSpec:
    """The form of the model that a launch here would take."""
    around = Surroundings(Catalogue(), RemoteModels(settings), pickle_allowed=settings.allow_pickle)
    forms = find_forms(spec, around)
    selected = select(forms.spec, forms.models)
    chosen = selected[0]
    if len(selected) > 1:
        # Where no engine here runs any of them, one of another machine may.
        with suppress(InvalidRequest):
            choice = choose(forms.spec, selected, forms.models, around.host, code_allowed=True)
            chosen = choice.model
    if not chosen.sources:
        raise InvalidRequest(
            f"{spec.model_name} is no model of a hub: "
            + (f"it is at {chosen.path}." if chosen.path else "it needs no files.")
        )
    return examine(chosen, around)


def _fetch(model: ModelSpec, settings: Settings) -> ModelSpec:
    with open_display(f"Pulling {model.name}") as display:

        def show(files: tuple[FileProgress, ...]) -> None:
            total = sum(file.total_bytes for file in files) or 1
            here = sum(file.downloaded_bytes for file in files)
            display.show(here / total, describe_download(list(map(msgspec.structs.asdict, files))))

        return fetch(model, settings, show, lambda: False, refresh=True)


def _mend(path: Path, settings: Settings) -> bool:
    """Take off the disk what is not as the hub says; whether there was something."""
    entry = entry_at(path, settings)
    if entry is None:
        return False
    corrupt = verify(entry)
    for each in corrupt:
        click.echo(
            f"{each.name} is corrupt: expected {each.expected}, got {each.actual}.", err=True
        )
    repair(entry, corrupt)
    return bool(corrupt)
